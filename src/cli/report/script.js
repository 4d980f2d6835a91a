// What a report can do beyond being looked at: light or dark, numbers under the pointer, links that open what they lead to.
// Nothing on the page is made from text as markup: values only ever become text.
"use strict";

// Light, dark, or as the system has it.
const themes = ["auto", "light", "dark"];
const button = document.getElementById("theme");
const setTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
  button.textContent = "Colours: " + theme;
};
setTheme("auto");
button.hidden = false;
button.addEventListener("click", () => {
  setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
});

// A link to an anomaly opens it; on paper all are open.
const openTarget = () => {
  if (location.hash === "#dark" || location.hash === "#light") setTheme(location.hash.slice(1));
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", openTarget);
openTarget();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));

// Numbers of a chart: under the pointer, or of the place that the arrow keys move.
const figures = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const when = (ms) => new Date(ms).toISOString().slice(0, ms % 60000 ? 19 : 16).replace("T", " ");
const told = ([at, low, high, typical, lower, upper]) => {
  const value = low === "" ? "no value" : low === high ? figures.format(low) : figures.format(low) + " to " + figures.format(high);
  return when(at) + "  ·  " + value + "  ·  usual " + figures.format(typical)
    + " (" + figures.format(lower) + " to " + figures.format(upper) + ")";
};
const prepare = (chart) => {
  const from = Number(chart.dataset.from), to = Number(chart.dataset.to), span = Number(chart.dataset.span);
  const points = chart.dataset.points.split(";").map((text) => {
    const [first, buckets, ...numbers] = text.split(",");
    const at = Number(first) * span;
    return { x: (at + buckets * span / 2) / (to - from), numbers: [from + at, ...numbers] };
  });
  const plot = chart.querySelector(".plot");
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y2", "100%");
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  let at = -1;
  const hide = () => { cursor.remove(); readout.remove(); at = -1; };
  const show = (next) => {
    at = Math.max(0, Math.min(points.length - 1, next));
    const x = 100 * points[at].x + "%";
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    readout.classList.toggle("left", points[at].x > 0.5);
    readout.textContent = told(points[at].numbers);
    if (!cursor.isConnected) plot.append(cursor);
    if (!readout.isConnected) chart.append(readout);
  };
  chart.tabIndex = 0;
  chart.setAttribute("role", "group");
  chart.setAttribute("aria-label", "Chart: the arrow keys tell its numbers");
  chart.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    let next = points.findIndex((point) => point.x >= x);
    if (next < 0) next = points.length - 1;
    if (next > 0 && x - points[next - 1].x < points[next].x - x) next -= 1;
    show(next);
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { show(at + step); event.preventDefault(); }
  });
};
document.querySelectorAll(".chart").forEach(prepare);
