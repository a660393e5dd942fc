// Colours of page.css, as they are now: light or dark.

/** The value of a custom property: "hold", "wait", "off", "text", "muted", "line", "panel", ... */
export const color = (property) => getComputedStyle(document.documentElement).getPropertyValue(`--${property}`).trim();

const HOLDERS = 7;

/** Colour of the i-th holder: Okabe and Ito's, in a cycle; never the only mark of a holder. */
export const holderColor = (i) => color(`holder-${i % HOLDERS}`);
