// What all charts share: colours, layout, drawing when they come into view, and a tooltip of text.
const palette = () => data.colours[store.theme];
const charts = [];

const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset" };

/** The layout of a chart; axes get the colours of the theme. */
function layout(options) {
  const colour = palette();
  const styled = (axis = {}) => ({
    gridcolor: colour.grid, linecolor: colour.grid, zeroline: false, automargin: true, ticks: "", ...axis,
    title: { font: { size: 13, color: colour.ink }, standoff: 10, ...axis.title },
  });
  const { xaxis, yaxis, ...rest } = options;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: { family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: 12, color: colour.muted },
    margin: { l: 56, r: 12, t: 12, b: 48 }, hovermode: "closest",
    dragmode: matchMedia("(max-width: 560px), (pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: -0.2, yanchor: "top", font: { size: 12 } },
    ...rest, xaxis: styled(xaxis), yaxis: styled(yaxis),
  };
}

/** A chart: `draw(node)` draws it when it is first seen or printed, and again when one of `keys` changes. */
function chart(id, keys, draw) {
  const node = byId(id);
  const one = { node, isDrawn: false, draw: () => { one.isDrawn = true; return draw(node); } };
  charts.push(one);
  watch([...keys, "theme"], () => one.isDrawn && one.draw());
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    if (!one.isDrawn) one.draw();
  }, { rootMargin: "300px" }).observe(node);
  return one;
}

/** Lines of text beside the pointer while it is on a point. */
function tooltip(node, linesOf) {
  const box = byId("tooltip");
  node.on("plotly_hover", (event) => {
    const lines = linesOf(event.points[0]);
    if (!lines) return;
    box.replaceChildren(...lines.map((line, index) => el("div", index ? {} : { class: "first" }, line)));
    box.hidden = false;
    const { clientX: x, clientY: y } = event.event;
    const width = box.offsetWidth, height = box.offsetHeight;
    box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
    box.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
  });
  node.on("plotly_unhover", () => { box.hidden = true; });
}

/** What a chart shows, for those who do not see it. */
function describe(node, text) {
  node.setAttribute("aria-label", text);
}
