"use strict";
(() => {
  const form = document.querySelector("form.controls");
  const tables = [...document.querySelectorAll("table.overview")];
  const natural = (head) => (head.dataset.key === "name" || head.dataset.key === "size" || "lower" in head.dataset ? "ascending" : "descending");

  // Sorts a table by one column; what has no number stays below, and equal rows stay in their order.
  const sort = (table, head, order) => {
    const heads = [...head.parentElement.children];
    const place = heads.indexOf(head);
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => {
      const cell = row.children[place];
      if (head.dataset.key === "name") return cell.textContent.trim().toLowerCase();
      return cell.dataset.v ? Number(cell.dataset.v) : NaN;
    };
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row.dataset.name, row]);
    rows.sort(([a, first], [b, second]) => {
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return a === b ? (first < second ? -1 : 1) : a < b ? -sign : sign;
    });
    table.tBodies[0].append(...rows.map(([, , row]) => row));
    for (const each of heads) {
      if (each === head) each.setAttribute("aria-sort", order);
      else each.removeAttribute("aria-sort");
    }
    for (const row of table.rows) [...row.children].forEach((cell, index) => cell.classList.toggle("sorted", index === place));
  };

  const showColumns = (table, measure, kind) => {
    const heads = [...table.tHead.rows[0].children];
    heads.forEach((head, index) => {
      const wanted = !head.dataset.measure
        || (head.dataset.kind
          ? (measure === "all" || head.dataset.measure === measure) && (!kind || head.dataset.kind === kind)
          : !kind || kind === "multilingual");
      for (const row of table.rows) row.children[index].hidden = !wanted;
    });
  };

  const showRows = (table, state) => {
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const size = row.children[1].dataset.v;
      const small = !state.size || (state.size === "unknown" ? !size : size !== "" && Number(size) <= Number(state.size));
      const found = !state.find || row.children[0].textContent.toLowerCase().includes(state.find.toLowerCase());
      row.hidden = !(small && found);
      shown += !row.hidden;
    }
    return shown;
  };

  const show = (state) => {
    const first = form.elements.task.options[0].value;
    const task = state.task || first;
    let shown = 0;
    for (const section of document.querySelectorAll("section[data-task]")) {
      section.hidden = task !== "all" && section.dataset.task !== task;
      for (const group of section.querySelectorAll(".group")) {
        const verified = group.dataset.group === "verified";
        group.hidden = state.show === "verified" ? !verified : state.show === "reported" && verified;
        const table = group.querySelector("table");
        showColumns(table, state.measure || "AP", state.kind);
        const rows = showRows(table, state);
        if (!section.hidden && !group.hidden) shown += rows;
        const heads = [...table.tHead.rows[0].children];
        const head = heads.find((each) => each.dataset.key === state.sort && !each.hidden)
          || heads.find((each) => each.dataset.key === "AP.multilingual" && !each.hidden)
          || heads.slice(2).find((each) => !each.hidden) || heads[0];
        sort(table, head, head.dataset.key === state.sort && state.order ? state.order : natural(head));
      }
    }
    document.getElementById("shown").textContent = `${shown} ${shown === 1 ? "row" : "rows"}`;
  };

  let update = () => {};
  for (const table of tables) {
    for (const head of table.tHead.rows[0].children) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const turned = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        const order = head.hasAttribute("aria-sort") ? turned : natural(head);
        update({ sort: head.dataset.key, order: order === natural(head) ? "" : order });
      });
    }
  }
  board.follow(form, (state, change) => {
    update = change;
    show(state);
  });
})();
