// Only what a page without scripts can do without: sorting, and unfolding all at once.
"use strict";
for (const table of document.querySelectorAll("table.jobs")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const isNumber = head.classList.contains("number");
      const next = was === null ? (isNumber ? "descending" : "ascending")
        : was === "descending" ? (isNumber ? "ascending" : null)
        : isNumber ? null : "descending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const rows = Array.from(body.rows);
      const value = (row) => row.cells[column].dataset.value;
      const sign = next === "descending" ? -1 : 1;
      rows.sort((a, b) => next === null
        ? a.dataset.order - b.dataset.order
        : sign * (isNumber ? value(a) - value(b) : value(a).localeCompare(value(b))));
      body.append(...rows);
    });
  });
}
const folded = Array.from(document.querySelectorAll("details.job"));
const title = document.querySelector(".details h2");
if (folded.length > 1 && title) {
  const button = document.createElement("button");
  const tell = () => {
    button.textContent = folded.every((one) => one.open) ? "Fold all" : "Unfold all";
  };
  button.addEventListener("click", () => {
    const open = !folded.every((one) => one.open);
    for (const one of folded) one.open = open;
    tell();
  });
  for (const one of folded) one.addEventListener("toggle", tell);
  tell();
  title.append(button);
}
