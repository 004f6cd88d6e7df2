/* A table that is wider than the page is set smaller; on a phone, where that is not
   enough, each row becomes a block whose cells show the names of their columns. */
document.addEventListener("DOMContentLoaded", () => {
  const phone = window.matchMedia("(max-width: 719px)");
  const tables = [...document.querySelectorAll(".bd-article table")].filter(
    (table) => table.tHead && !table.matches(".stacked, .autosummary"),
  );

  for (const table of tables) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.innerText.trim());
    for (const row of [...table.tBodies].flatMap((body) => [...body.rows])) {
      [...row.cells].forEach((cell, i) => (cell.dataset.name = names[i] ?? ""));
    }
  }

  const fit = () => {
    for (const table of tables) {
      const room = table.parentElement;
      const isWide = () => table.scrollWidth > room.clientWidth + 1;
      table.classList.remove("dense", "blocks");
      table.classList.toggle("dense", isWide());
      table.classList.toggle("blocks", phone.matches && isWide());
    }
  };

  fit();
  // What is hidden in a dropdown or a tab has no width before it is opened.
  new ResizeObserver(fit).observe(document.querySelector(".bd-article"));
});
