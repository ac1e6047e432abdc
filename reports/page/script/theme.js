// Light or dark: as the system says, until the button is used; paper is always light.
function showTheme() {
  document.documentElement.dataset.theme = store.theme;
  byId("theme").textContent = store.theme === "dark" ? "Light" : "Dark";
}

function setUpTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let isOwn = false, before = store.theme;
  byId("theme").addEventListener("click", () => {
    isOwn = true;
    change({ theme: store.theme === "dark" ? "light" : "dark" });
  });
  system.addEventListener("change", () => isOwn || change({ theme: system.matches ? "dark" : "light" }));
  watch(["theme"], showTheme);
  addEventListener("beforeprint", () => {
    before = store.theme;
    change({ theme: "light" });
    for (const one of document.querySelectorAll("details.printed")) one.open = true;
    for (const one of charts) {
      if (!one.isDrawn) one.draw();
      if (one.node.clientWidth) Plotly.relayout(one.node, { width: Math.min(one.node.clientWidth, PAPER_WIDTH) });
    }
  });
  addEventListener("afterprint", () => {
    change({ theme: before });
    for (const one of charts) Plotly.relayout(one.node, { width: undefined, autosize: true });
  });
  showTheme();
}

/** What fits between the margins of A4 [px]. */
const PAPER_WIDTH = 660;
