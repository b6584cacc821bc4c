// Charts, on the pages that have any. Their data stands in the page, beside a table that says the same.
// What is taken away as a picture is drawn anew, out of sight: light, with its title and its period.
import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

echarts.use([
  BarChart, LineChart, GridComponent, LegendComponent, TitleComponent, TooltipComponent, CanvasRenderer, SVGRenderer,
]);

const drawn = new Map();
const watcher = new ResizeObserver((entries) => entries.forEach(({ target }) => resize(target)));

function resize(place) {
  const chart = drawn.get(place);
  if (!chart || !place.clientWidth) return;
  chart.resize();
  chart.setOption(options(read(place), { width: place.clientWidth }), true);
}

// ------------------------------------------------------------------ colours

// A colour as the page has it now: light and dark are not the same, and a canvas knows no variables.
function palette(theme) {
  const stage = document.createElement("div");
  stage.hidden = true;
  if (theme) stage.dataset.bsTheme = theme;
  document.body.append(stage);
  const known = {};
  const colour = (name) => {
    if (!(name in known)) {
      const probe = document.createElement("span");
      probe.className = `ink-${name}`;
      stage.append(probe);
      known[name] = getComputedStyle(probe).color;
    }
    return known[name];
  };
  return { colour, done: () => stage.remove() };
}

// ------------------------------------------------------------------ numbers as words

function formats(data) {
  const locale = data.locale || undefined;
  const plain = (most) => new Intl.NumberFormat(locale, { maximumFractionDigits: most });
  const short = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const money = (more) =>
    new Intl.NumberFormat(locale, { style: "currency", currency: data.currency || "USD", ...more });
  const length = (ms) => {
    if (ms < 1000) return `${plain(0).format(ms)} ms`;
    if (ms < 60_000) return `${plain(1).format(ms / 1000)} s`;
    if (ms < 3_600_000) return `${plain(1).format(ms / 60_000)} min`;
    return ms < 172_800_000 ? `${plain(1).format(ms / 3_600_000)} h` : `${plain(1).format(ms / 86_400_000)} d`;
  };
  const kinds = {
    money: {
      whole: (value) => money({ maximumFractionDigits: Math.abs(value) < 1000 ? 2 : 0 }).format(value),
      axis: (value) => money({ notation: "compact", maximumFractionDigits: 1 }).format(value),
    },
    percent: { whole: (value) => `${plain(1).format(value)}%`, axis: (value) => `${plain(1).format(value)}%` },
    milliseconds: { whole: length, axis: length },
    seconds: { whole: (value) => length(value * 1000), axis: (value) => length(value * 1000) },
    minutes: { whole: (value) => length(value * 60_000), axis: (value) => length(value * 60_000) },
    count: { whole: (value) => plain(1).format(value), axis: (value) => short.format(value) },
  };
  if (kinds[data.unit]) return kinds[data.unit];
  const suffix = data.unit ? ` ${data.unit}` : "";
  const suffixed = (value) => `${plain(2).format(value)}${suffix}`;
  return { whole: suffixed, axis: suffixed };
}

// ------------------------------------------------------------------ options

function options(data, { theme, width = 600, picture = false } = {}) {
  const { colour, done } = palette(theme);
  const [ink, soft, edge, sheet] = ["ink", "soft", "edge", "sheet"].map(colour);
  const size = picture ? 14 : 11;
  // In a drawing the names of fonts stand within quotes.
  const family = getComputedStyle(document.body).fontFamily.replaceAll('"', "'");
  const text = { color: soft, fontFamily: family, fontSize: size };
  const told = formats(data);
  const several = data.series.length > 1;
  // Of one part there is no line to be drawn: it stands as a bar.
  const lone = data.series.every((each) => each.values.filter((value) => value != null).length < 2);
  if (lone) data = { ...data, series: data.series.map((each) => ({ ...each, kind: "bar", filled: false })) };
  const top = picture ? (several ? 116 : 92) : several ? 34 : 14;
  const names = {
    type: "category",
    data: data.labels,
    inverse: Boolean(data.lying),
    axisLine: { show: !data.lying, lineStyle: { color: edge } },
    axisTick: { show: false },
    axisLabel: {
      ...text,
      hideOverlap: !data.lying,
      interval: data.lying ? 0 : "auto",
      ...(data.lying && { width: Math.min(picture ? 340 : 190, width * 0.34), overflow: "truncate", color: ink }),
    },
  };
  const values = {
    type: "value",
    minInterval: data.whole ? 1 : undefined,
    ...(data.unit === "percent" && !data.lying && most(data) > 60 && { max: 100, interval: 25 }),
    splitNumber: data.lying ? (width < 500 ? 2 : 5) : 4,
    splitLine: { lineStyle: { color: edge } },
    axisLabel: { ...text, formatter: told.axis, hideOverlap: true },
  };
  const made = {
    animation: false,
    textStyle: text,
    backgroundColor: picture ? sheet : undefined,
    title: picture ? {
      text: data.title,
      subtext: data.subtitle,
      left: 28,
      top: 22,
      itemGap: 6,
      textStyle: { ...text, color: ink, fontSize: 22, fontWeight: 600, lineHeight: 30 },
      subtextStyle: { ...text, fontSize: 15 },
    } : undefined,
    grid: picture
      ? { left: 32, right: data.lying ? 96 : 40, top, bottom: 28, containLabel: true }
      : { left: 4, right: data.lying ? 58 : 14, top, bottom: 2, containLabel: true },
    legend: several ? {
      top: picture ? 84 : 0,
      [picture ? "left" : "right"]: picture ? 28 : 0,
      textStyle: { ...text, color: ink },
      itemHeight: 9,
      itemWidth: 14,
      itemGap: 14,
      selectedMode: false,
    } : undefined,
    // Drawn, not written as HTML: that would carry styles of its own, which the page's policy refuses.
    tooltip: picture ? undefined : {
      trigger: "axis",
      axisPointer: { type: data.series.some(isBar) ? "shadow" : "line", lineStyle: { color: soft }, shadowStyle: { opacity: 0.3 } },
      renderMode: "richText",
      confine: true,
      backgroundColor: sheet,
      borderColor: edge,
      borderWidth: 1,
      padding: [8, 12],
      textStyle: { ...text, color: ink, fontSize: 12 },
      formatter: (parts) => tip(data, parts, told.whole),
    },
    xAxis: data.lying ? values : names,
    yAxis: data.lying ? names : values,
    series: data.series.map((each, at) => series(data, each, at, { colour, width, text, told, picture })),
  };
  done();
  return made;
}

const isBar = (each) => (each.kind ?? "line") === "bar";
const most = (data) => Math.max(0, ...data.series.flatMap((each) => each.values.filter((value) => value != null)));

function tip(data, parts, told) {
  const at = parts[0].dataIndex;
  const lines = parts.map((part) => {
    const value = data.series[part.seriesIndex].values[at];
    return `${part.marker}${part.seriesName}   ${value == null ? "–" : told(value)}`;
  });
  return [data.titles?.[at] ?? data.labels[at], ...lines].join("\n");
}

function series(data, each, at, { colour, width, text, told, picture }) {
  const ink = colour(each.tone ?? (data.series.length > 1 ? `c${at + 1}` : "accent"));
  const known = each.values.filter((value) => value != null).length;
  // A point that stands alone has no line to be seen by.
  const alone = (place) => each.values[place - 1] == null && each.values[place + 1] == null;
  const last = data.series.findLast((other) => other.stack === each.stack) === each;
  const round = each.stack && !last ? 0 : data.lying ? [0, 3, 3, 0] : [3, 3, 0, 0];
  return {
    type: each.kind ?? "line",
    name: each.name,
    stack: each.stack,
    data: each.values.map((value, place) => ({
      value,
      ...(each.tones && { itemStyle: { color: colour(each.tones[place]) } }),
      ...(!isBar(each) && known > 14 && !alone(place) && { symbolSize: 0 }),
    })),
    showSymbol: true,
    showAllSymbol: true,
    symbol: "circle",
    symbolSize: 6,
        barMaxWidth: data.lying ? 18 : Math.max(18, Math.min(44, width / 20)),
    barGap: "15%",
    label: data.lying && !each.stack
      ? { ...text, show: true, position: "right", formatter: ({ value }) => (value == null ? "" : told.axis(value)) }
      : undefined,
    lineStyle: { width: 2, color: ink, type: each.dashed ? [6, 4] : "solid" },
    itemStyle: { color: ink, borderRadius: round },
    areaStyle: each.filled ? { opacity: 0.12, color: ink } : undefined,
    emphasis: { disabled: true },
    silent: picture,
    z: isBar(each) ? 2 : 3,
  };
}

// ------------------------------------------------------------------ on the page

function read(place) {
  return JSON.parse(document.getElementById(place.dataset.chart).textContent);
}

function draw(place) {
  if (!document.getElementById(place.dataset.chart)) return;
  let chart = drawn.get(place);
  if (chart && !place.querySelector("canvas")) {
    // The part of the page came anew, and what was drawn in it is gone.
    chart.dispose();
    chart = null;
  }
  if (!chart) {
    chart = echarts.init(place, null, { renderer: "canvas" });
    drawn.set(place, chart);
    watcher.observe(place);
  }
  chart.setOption(options(read(place), { width: place.clientWidth }), true);
}

function drawAll() {
  for (const [place, chart] of drawn) {
    if (!place.isConnected) { chart.dispose(); watcher.unobserve(place); drawn.delete(place); }
  }
  document.querySelectorAll("[data-chart]").forEach(draw);
}

// ------------------------------------------------------------------ to take away

const WIDTH = 1200;

function heightOf(data) {
  return data.lying ? Math.max(400, 150 + data.labels.length * (data.series.length > 1 ? 52 : 36)) : 630;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function exportSvg(data) {
  const size = { width: WIDTH, height: heightOf(data) };
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, ...size });
  chart.setOption(options(data, { theme: "light", width: WIDTH, picture: true }));
  const text = chart.renderToSVGString();
  chart.dispose();
  save(new Blob([text], { type: "image/svg+xml" }), `${data.file || "chart"}.svg`);
}

function exportPng(data) {
  const chart = echarts.init(document.createElement("div"), null, {
    renderer: "canvas", width: WIDTH, height: heightOf(data), devicePixelRatio: 2,
  });
  chart.setOption(options(data, { theme: "light", width: WIDTH, picture: true }));
  const canvas = chart.renderToCanvas({ pixelRatio: 2 });
  canvas.toBlob((blob) => { save(blob, `${data.file || "chart"}.png`); chart.dispose(); }, "image/png");
}

function tell(text, kind = "ok") {
  document.body.dispatchEvent(new CustomEvent("toast", { detail: { text, kind } }));
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    tell("The link is copied.");
  } catch {
    // Without https a page may not write to the clipboard by itself.
    const field = document.createElement("textarea");
    field.value = location.href;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    tell(done ? "The link is copied." : `Copy it from here: ${location.href}`, done ? "ok" : "warn");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-export], [data-copy-link]");
  if (!button) return;
  const menu = button.closest("details");
  if (menu) { menu.open = false; menu.querySelector("summary")?.focus(); }
  if (button.hasAttribute("data-copy-link")) { copyLink(); return; }
  const data = JSON.parse(document.getElementById(button.dataset.of).textContent);
  if (button.dataset.export === "svg") exportSvg(data);
  else exportPng(data);
});

drawAll();
document.addEventListener("theme", () => requestAnimationFrame(drawAll));
document.addEventListener("htmx:after:swap", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
