// What a report can do besides being read: tables sort, pictures enlarge. It is complete without.
"use strict";
{
  const ORDERS = { number: ["descending", "ascending"], text: ["ascending", "descending"] };
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  // "68.8%", "1,234", "+1.2 points" and "< 0.0001" are numbers, "25% tighter" is not known to be.
  const numberIn = (text) => {
    const found = /^[<±]? ?([-+−]?(?:\d[\d,]*)?\.?\d+)(?![\d.:/-])/.exec(text);
    return found ? Number(found[1].replaceAll(",", "").replace("−", "-")) : NaN;
  };
  const textOf = (row, column) => (row.cells[column]?.textContent ?? "").trim();
  const isEmpty = (text) => text === "" || text === "—" || text === "-";

  const makeSortable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const headers = [...table.tHead.rows[0].cells];
    const sortBy = (column, order) => {
      const kept = rows.map((row) => ({ row, text: textOf(row, column) }));
      const full = kept.filter(({ text }) => !isEmpty(text));
      const numeric = full.every(({ text }) => !Number.isNaN(numberIn(text)));
      const compare = numeric
        ? (a, b) => numberIn(a.text) - numberIn(b.text)
        : (a, b) => collator.compare(a.text, b.text);
      const sign = order === "descending" ? -1 : 1;
      if (order) full.sort((a, b) => sign * compare(a, b));
      const last = kept.filter(({ text }) => isEmpty(text));
      const sorted = order ? [...full, ...last] : kept;
      table.tBodies[0].append(...sorted.map(({ row }) => row));
    };
    headers.forEach((header, column) => {
      const texts = rows.map((row) => textOf(row, column)).filter((text) => !isEmpty(text));
      if (!header.textContent.trim() || !texts.length) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...header.childNodes);
      header.append(button);
      const orders = ORDERS[texts.every((text) => !Number.isNaN(numberIn(text))) ? "number" : "text"];
      button.addEventListener("click", () => {
        // A third click brings back the order of the page.
        const next = [...orders, null][orders.indexOf(header.ariaSort) + 1];
        for (const other of headers) other.removeAttribute("aria-sort");
        if (next) header.setAttribute("aria-sort", next);
        sortBy(column, next);
      });
    });
  };

  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.innerHTML =
    '<div class="pictures"></div><p class="caption" id="enlarged-caption" aria-live="polite"></p><p class="buttons">' +
    '<button type="button" value="-1">Previous</button> <button type="button" value="1">Next' +
    '</button> <button type="button" value="">Close</button></p>';
  dialog.setAttribute("aria-labelledby", "enlarged-caption");
  let shown = null;

  const show = (figure) => {
    shown = figure;
    const pictures = [...figure.querySelectorAll("img")].map((image) => image.cloneNode());
    const caption = figure.querySelector("figcaption");
    dialog.querySelector(".pictures").replaceChildren(...pictures);
    dialog.querySelector(".pictures").style.setProperty("--count", pictures.length);
    dialog.querySelector(".caption").replaceChildren(...caption.cloneNode(true).childNodes);
    const path = dialog.querySelector(".path");
    if (path && caption.title) path.textContent = caption.title;
    for (const button of dialog.querySelectorAll("[value='-1'], [value='1']")) {
      button.setAttribute("aria-disabled", String(!beside(Number(button.value))));
    }
    if (!dialog.open) dialog.showModal();
  };
  const beside = (by) => {
    const figures = [...document.querySelectorAll("figure:has(> .enlarge)")];
    return figures[figures.indexOf(shown) + by];
  };
  const step = (by) => {
    const next = beside(by);
    if (next) show(next);
  };
  const makeEnlargeable = (figure) => {
    const pictures = figure.querySelector(".two") ?? figure.querySelector("img");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.title = "Enlarge";
    pictures.replaceWith(button);
    button.append(pictures);
    button.addEventListener("click", () => show(figure));
  };

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
    const button = event.target.closest("button");
    if (button) button.value ? step(Number(button.value)) : dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => shown.querySelector(".enlarge").focus());

  // Keyboards scroll only what can have the focus.
  const markScrolled = () => {
    for (const box of document.querySelectorAll(".wide, pre")) {
      const scrolls = box.scrollWidth > box.clientWidth;
      box.toggleAttribute("tabindex", scrolls);
      box.classList.toggle("scrolls", scrolls);
      if (scrolls) box.tabIndex = 0;
    }
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0]?.rows.length > 1) makeSortable(table);
  }
  for (const figure of document.querySelectorAll("figure:has(> img, > .two)")) makeEnlargeable(figure);
  document.body.append(dialog);
  // On paper nobody can open them. Styles do it in some browsers only.
  const opened = [];
  window.addEventListener("beforeprint", () => {
    opened.push(...document.querySelectorAll("details:not([open])"));
    for (const details of opened) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of opened.splice(0)) details.open = false;
  });

  window.addEventListener("resize", markScrolled);
  markScrolled();
}
