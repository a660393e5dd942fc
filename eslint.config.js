// What `npm run lint` asks of the scripts of the HTML pages. Foreign text must never be parsed as HTML: see the last rule.
import js from "@eslint/js";
import globals from "globals";

const PARSES = "innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|write|writeln|parseFromString|createContextualFragment";

// The two kinds of pages share what is in shared/, which knows neither.
const without = (folder, ...others) => ({
  files: [`**/scripts/${folder}/**`],
  rules: { "no-restricted-imports": ["error", { patterns: others.map((other) => `**/${other}/**`) }] },
});

export default [
  { ignores: ["**/assets/", "**/axe/", "build/", "docs/", ".*/"] },
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-shadow": "error",
      "no-restricted-syntax": [
        "error",
        { selector: `MemberExpression[property.name=/^(${PARSES})$/]`, message: "This parses text as HTML; use element()." },
      ],
    },
  },
  without("shared", "process", "results"),
  without("process", "results"),
  without("results", "process"),
  { files: ["**/build.js", "**/*.test.js"], languageOptions: { globals: globals.node } },
];
