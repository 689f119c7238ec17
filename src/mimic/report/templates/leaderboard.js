(() => {
  "use strict";
  const dimensions = ["scenario", "task", "probe", "amount"];
  const root = document.documentElement;
  const form = document.getElementById("choice");
  const shown = document.getElementById("shown");
  const placed = document.querySelectorAll("[data-scenario], [data-task], [data-amount]");
  const rows = document.querySelectorAll("#standings tbody tr");

  function fits(place, choice) {
    return dimensions.every((name) => {
      if (!(name in place)) return true;
      if (name === "scenario" && choice.scenario === "every") return place.scenario !== "mean";
      return place[name] === choice[name];
    });
  }

  function apply() {
    const choice = Object.fromEntries(new FormData(form));
    for (const element of placed) element.hidden = !fits(element.dataset, choice);
    root.classList.toggle("every", choice.scenario === "every");
    const count = [...rows].filter((row) => !row.hidden).length;
    shown.textContent = count === 0 ? "Nothing was measured with this choice." : `${count} rows shown`;
  }

  function value(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
    const text = cell.firstChild === null ? "" : cell.firstChild.textContent;
    return text === "\u2013" ? null : text;
  }

  function compare(one, other) {
    return typeof one === "number" && typeof other === "number"
      ? one - other
      : String(one).localeCompare(String(other), "en", { numeric: true });
  }

  function sort(table, heading) {
    const before = heading.getAttribute("aria-sort");
    const first = "descending" in heading.dataset ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const direction = before === first ? second : first;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = [...table.tBodies[0].rows].map((row) => [value(row, heading.cellIndex), row]);
    keyed.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * compare(one, other);
    });
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      button.addEventListener("click", () => sort(table, heading));
      heading.replaceChildren(button);
    }
  }
  root.classList.add("js");
  if (form !== null) {
    form.hidden = false;
    form.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }
})();
