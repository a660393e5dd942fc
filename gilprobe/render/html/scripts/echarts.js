// What of ECharts the report uses, and nothing else: `npm run build` makes assets/vendored/echarts.min.js of it.
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
