// A page about processes: the sections in their order.
import { aboutSection, chosenBar } from "./about.js";
import { blameSection } from "./blame.js";
import { collectionsSection } from "./collections.js";
import { culpritsSection } from "./culprits.js";
import { distributionsSection } from "./distributions.js";
import { flameSection } from "./flame.js";
import { labelsSection } from "./labels.js";
import { locksSection } from "./locks.js";
import { loopsSection } from "./loops.js";
import { offSection } from "./off.js";
import { lead } from "./overview.js";
import { processesSection } from "./processes.js";
import { sitesSection } from "./sites.js";
import { stallsSection } from "./stalls.js";
import { threadsSection } from "./threads.js";
import { timelineSection } from "./timeline/section.js";
import { page } from "../shared/page.js";

page.open({
  lead,
  sections: [
    processesSection,
    culpritsSection,
    labelsSection,
    timelineSection,
    threadsSection,
    offSection,
    blameSection,
    sitesSection,
    locksSection,
    collectionsSection,
    loopsSection,
    flameSection,
    distributionsSection,
    stallsSection,
    aboutSection,
  ],
  tail: chosenBar,
  // With several processes, begin with the one whose threads waited most.
  first: ({ processes }) => processes.reduce((worst, one) => (one.waited_ns > worst.waited_ns ? one : worst)),
});
