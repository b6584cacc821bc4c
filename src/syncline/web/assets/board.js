// Deals dragged from stage to stage. What is dropped sends the form that its menu would send.

let dragged = null;

document.addEventListener("dragstart", (event) => {
  const card = event.target.closest?.("[data-board] [data-deal]");
  if (!card) return;
  dragged = card;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", card.dataset.deal);
  card.classList.add("is-dragged");
});

document.addEventListener("dragover", (event) => {
  const column = dragged && event.target.closest?.("[data-stage]");
  if (!column) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "move";
  for (const each of document.querySelectorAll("[data-stage].is-over")) {
    if (each !== column) each.classList.remove("is-over");
  }
  column.classList.add("is-over");
});

document.addEventListener("dragend", () => {
  dragged?.classList.remove("is-dragged");
  dragged = null;
  for (const each of document.querySelectorAll("[data-stage].is-over")) each.classList.remove("is-over");
});

document.addEventListener("drop", (event) => {
  const column = dragged && event.target.closest?.("[data-stage]");
  if (!column) return;
  event.preventDefault();
  const form = dragged.querySelector("form.board-move");
  const choice = form?.elements.stage;
  if (!choice || choice.value === column.dataset.stage) return;
  choice.value = column.dataset.stage;
  // It is where it was put at once; the answer says whether it stays there.
  column.querySelector("ul").prepend(dragged);
  form.requestSubmit();
});
