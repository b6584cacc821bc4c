// Charts, on the pages that have any. Their data stands in the page, beside a table that says the same.
import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

echarts.use([BarChart, LineChart, GridComponent, LegendComponent, TooltipComponent, CanvasRenderer]);

const drawn = new Map();
const watcher = new ResizeObserver((entries) => entries.forEach((each) => drawn.get(each.target)?.resize()));

// A colour as the page has it now: light and dark are not the same, and a canvas knows no variables.
function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.className = `ink-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function options(data) {
  const [ink, edge, sheet] = [colour("soft"), colour("edge"), colour("sheet")];
  const text = { color: ink, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 };
  return {
    animation: false,
    textStyle: text,
    grid: { left: 8, right: 12, top: data.series.length > 1 ? 32 : 12, bottom: 4, containLabel: true },
    legend: data.series.length > 1 ? { top: 0, right: 0, textStyle: text, itemHeight: 8, itemWidth: 14 } : undefined,
    // Drawn, not written as HTML: that would carry styles of its own, which the page's policy refuses.
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      confine: true,
      backgroundColor: sheet,
      borderColor: edge,
      textStyle: { ...text, color: colour("ink") },
      valueFormatter: (value) => (value == null ? "–" : `${value.toLocaleString()}${data.unit ? ` ${data.unit}` : ""}`),
    },
    xAxis: {
      type: "category",
      data: data.labels,
      axisLine: { lineStyle: { color: edge } },
      axisTick: { show: false },
      axisLabel: { ...text, hideOverlap: true },
    },
    yAxis: {
      type: "value",
      minInterval: data.whole ? 1 : undefined,
      splitLine: { lineStyle: { color: edge } },
      axisLabel: { ...text, formatter: (value) => `${value.toLocaleString()}${data.unit ? ` ${data.unit}` : ""}` },
    },
    series: data.series.map((each) => ({
      type: each.kind ?? "line",
      name: each.name,
      stack: each.stack,
      data: each.values.map((value, at) =>
        each.tones ? { value, itemStyle: { color: colour(each.tones[at]) } } : value,
      ),
      showSymbol: false,
      smooth: 0.2,
      barMaxWidth: 18,
      lineStyle: { width: 2, color: colour(each.tone ?? "accent") },
      itemStyle: { color: colour(each.tone ?? "accent"), borderRadius: each.stack ? 0 : [2, 2, 0, 0] },
      areaStyle: each.filled ? { opacity: 0.12, color: colour(each.tone ?? "accent") } : undefined,
    })),
  };
}

function draw(place) {
  const source = document.getElementById(place.dataset.chart);
  if (!source) return;
  const data = JSON.parse(source.textContent);
  let chart = drawn.get(place);
  if (!chart) {
    chart = echarts.init(place, null, { renderer: "canvas" });
    drawn.set(place, chart);
    watcher.observe(place);
  }
  chart.setOption(options(data), true);
}

function drawAll() {
  for (const [place, chart] of drawn) {
    if (!place.isConnected) { chart.dispose(); watcher.unobserve(place); drawn.delete(place); }
  }
  document.querySelectorAll("[data-chart]").forEach(draw);
}

drawAll();
document.addEventListener("theme", () => requestAnimationFrame(drawAll));
document.addEventListener("htmx:after:swap", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
