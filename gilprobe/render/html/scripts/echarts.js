// The parts of ECharts that the report uses: `npm run build` makes assets/vendored/echarts.min.js from it.
import { init, use } from "echarts/core";
import { CustomChart, LineChart, BarChart, ScatterChart } from "echarts/charts";
import { AriaComponent, GridComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

use([
  CustomChart,
  LineChart,
  BarChart,
  ScatterChart,
  AriaComponent,
  GridComponent,
  MarkLineComponent,
  TooltipComponent,
  SVGRenderer,
]);

export { init };
