// What moves in the pages. Everything here adds to pages that work without it, but for what is live.
import "./htmx.js";
import "htmx.org/dist/ext/hx-sse.js";
import "./board.js";

const root = document.documentElement;
const body = document.body;

// ------------------------------------------------------------------ requests

document.addEventListener("htmx:config:request", (event) => {
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  const request = event.detail.ctx.request;
  if (token && request.method.toUpperCase() !== "GET") request.headers["X-CSRF-Token"] = token;
});

// A failure is told, and what stands on the page stays.
document.addEventListener("htmx:before:swap", (event) => {
  const response = event.detail.ctx?.response;
  if (!response || response.status < 400 || response.status === 422) return;
  event.preventDefault();
  // What was only looked at anew is looked at again; what a person did has to be answered.
  if (event.detail.ctx.request.method.toUpperCase() === "GET") return;
  toast(response.headers.get("X-Problem") ? decodeURIComponent(response.headers.get("X-Problem")) :
    "That did not work; the page shows how it was before.", "bad");
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx?.request?.action?.startsWith("/live")) return;
  if (event.detail.ctx?.response) return;
  if (!navigator.onLine) toast("There is no connection to Syncline just now.", "warn");
});
// What a person has opened stays open when its part of the page is looked at anew.
let opened = [];
document.addEventListener("htmx:before:swap", (event) => {
  const isLook = event.detail.ctx?.request?.method.toUpperCase() === "GET";
  opened = isLook ? [...document.querySelectorAll("details.disclose[open], details.dd[open]")] : [];
});
document.addEventListener("htmx:after:swap", () => {
  for (const each of opened) if (each.isConnected) each.open = true;
});
body.addEventListener("toast", (event) => toast(event.detail.text, event.detail.kind));

export function toast(text, kind = "ok") {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = `notice notice-${kind}`;
  const line = document.createElement("p");
  line.textContent = text;
  box.append(line);
  place.append(box);
  setTimeout(() => box.remove(), kind === "bad" ? 12000 : 5000);
}

// ------------------------------------------------------------------ what is live

const dot = document.getElementById("live");
document.addEventListener("htmx:sse:after:connection", () => dot && setLive(true));
document.addEventListener("htmx:sse:error", () => dot && setLive(false));
document.addEventListener("htmx:sse:close", () => dot && setLive(false));
function setLive(on) {
  dot.dataset.state = on ? "on" : "off";
  dot.title = on ? "Changes appear by themselves" : "Looked at again every 30 seconds";
}

// "2 minutes ago" grows older while the page is open. The words are those the server writes.
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];
function ago(seconds) {
  if (Math.abs(seconds) < 5) return "just now";
  const past = seconds >= 0;
  const size = Math.abs(seconds);
  const [, unit, length] = STEPS.find(([limit]) => size < limit);
  const count = Math.floor(size / length);
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return past ? `${words} ago` : `in ${words}`;
}
function age() {
  const skew = Number(body.dataset.skew || 0);
  for (const each of document.querySelectorAll("time[data-ago]")) {
    const words = ago((Date.now() - skew - Date.parse(each.dateTime)) / 1000);
    if (each.textContent !== words) each.textContent = words;
  }
}
// The clock of the machine that shows the page may be wrong; what counts is the server's.
if (body.dataset.now) body.dataset.skew = String(Date.now() - Date.parse(body.dataset.now));
setInterval(age, 1000);

// ------------------------------------------------------------------ the theme

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-theme-form]")) return;
  event.preventDefault();
  const theme = event.submitter?.value ?? "system";
  if (theme === "system") root.removeAttribute("data-bs-theme");
  else root.setAttribute("data-bs-theme", theme);
  for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each.value === theme));
  // Here and not by the server, so that it is kept by whoever leaves the page at once.
  const seconds = theme === "system" ? 0 : 31536000;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=${seconds}; samesite=lax${secure}`;
  document.dispatchEvent(new CustomEvent("theme"));
});

// ------------------------------------------------------------------ menus, keys, small comforts

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.dd[open], details.confirm[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
  const copies = event.target.closest("[data-copy]");
  if (copies) {
    navigator.clipboard?.writeText(document.getElementById(copies.dataset.copy).textContent.trim())
      .then(() => toast("Copied."));
  }
  const shows = event.target.closest("[data-shows]");
  if (shows) document.getElementById(shows.dataset.shows)?.showModal?.();
  if (event.target.matches("[data-closes]")) event.target.closest("dialog")?.close();
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-all]")) {
    for (const each of document.querySelectorAll(`input[type=checkbox][name="${box.dataset.all}"]`)) {
      each.checked = box.checked;
    }
  }
  // A choice that has more to be said to it waits for that.
  if (box.matches("[data-submits]") && box.value !== box.dataset.waits) box.form?.requestSubmit();
  countChosen();
});
function countChosen() {
  for (const each of document.querySelectorAll("[data-chosen]")) {
    const name = each.dataset.chosen;
    each.textContent = String(document.querySelectorAll(`input[type=checkbox][name="${name}"]:checked`).length);
  }
}

// A table that is wider than its place can be scrolled by keys, too.
function letScroll() {
  for (const each of document.querySelectorAll(".table-wrap, .prose pre, .prose table")) {
    const scrolls = each.scrollWidth > each.clientWidth + 1;
    if (scrolls && !each.hasAttribute("tabindex")) each.tabIndex = 0;
    else if (!scrolls && each.tabIndex === 0) each.removeAttribute("tabindex");
  }
}
letScroll();
addEventListener("resize", letScroll);
document.addEventListener("htmx:after:swap", letScroll);

// Of tabs that do not fit, the one that is open is seen.
document.querySelector(".tabs a[aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest", behavior: "instant" });

const isTyping = (target) => target.closest("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
let leader = -Infinity;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.dd[open], details.confirm[open]")) {
      open.open = false;
      open.querySelector("summary")?.focus();
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "/") {
    const box = document.getElementById("search");
    if (box) { event.preventDefault(); box.focus(); box.select(); }
  } else if (event.key === "?") {
    document.getElementById("keys")?.showModal();
  } else if (event.key === "g") {
    leader = event.timeStamp;
  } else if (event.timeStamp - leader < 1200) {
    leader = -Infinity;
    document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
  } else {
    review(event);
  }
});

// ------------------------------------------------------------------ going through conflicts by keys

function review(event) {
  const all = [...document.querySelectorAll("[data-review] .conflict")];
  if (!all.length) return;
  let at = all.findIndex((each) => each.classList.contains("is-current"));
  const go = (to) => {
    all[at]?.classList.remove("is-current");
    at = Math.max(0, Math.min(all.length - 1, to));
    all[at].classList.add("is-current");
    all[at].focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest" });
  };
  const pick = (value) => {
    const choice = all[at]?.querySelector(`input[type=radio][value="${value}"]`);
    if (choice) { choice.checked = true; choice.dispatchEvent(new Event("change", { bubbles: true })); }
  };
  if (event.key === "j") go(at + 1);
  else if (event.key === "k") go(at - 1);
  else if (event.key === "o") pick("ours");
  else if (event.key === "t") pick("theirs");
  else if (event.key === "b") pick("base");
  else if (event.key === "c") {
    pick("custom");
    all[at]?.querySelector("input[type=text]")?.focus();
  } else if (event.key === "u") {
    for (const each of all[at]?.querySelectorAll("input[type=radio]:checked") ?? []) each.checked = false;
    countDecided();
  } else return;
  event.preventDefault();
}
function countDecided() {
  const count = document.querySelectorAll("[data-review] input[type=radio]:checked").length;
  for (const each of document.querySelectorAll("[data-decided]")) each.textContent = String(count);
}
document.addEventListener("change", countDecided);
document.addEventListener("focusin", (event) => {
  const current = event.target.closest?.("[data-review] .conflict");
  if (!current) return;
  for (const each of document.querySelectorAll("[data-review] .conflict")) {
    each.classList.toggle("is-current", each === current);
  }
});
