// A page about results of scenarios.
import { lead, resultsSections } from "./scenarios.js";
import { page } from "../shared/page.js";

page.open({ lead, sections: resultsSections, first: ({ results }) => results });
