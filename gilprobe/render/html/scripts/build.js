// Bundles the pages' scripts; the bundles are in the repository, so that gilprobe works without node.
// `npm run build`; with `-- --check` it writes nothing, and fails if a bundle is out of date.
import { readFile, writeFile } from "node:fs/promises";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const packages = JSON.parse(await readFile("package.json")).dependencies;

const ECHARTS_NOTICE =
  `/*! Apache ECharts ${packages.echarts}, a trimmed build. Copyright 2017-2026 The Apache Software Foundation. ` +
  "Licensed under the Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0. " +
  "Contains zrender, Copyright (c) 2017, Baidu Inc., BSD 3-Clause License. */";
const NOTICE = "// Made by `npm run build` from gilprobe/render/html/scripts: change those, not this.";

// [entry, made, options]
const SCRIPTS = [
  ["process/main.js", "../assets/processes.js", { target: "es2022", banner: { js: NOTICE } }],
  ["results/main.js", "../assets/results.js", { target: "es2022", banner: { js: NOTICE } }],
  [
    "echarts.js",
    "../assets/vendored/echarts.min.js",
    { target: "es2020", globalName: "echarts", banner: { js: ECHARTS_NOTICE } },
  ],
];

const made = async ([entry, , options]) => {
  const shared = { bundle: true, minify: true, format: "iife", charset: "ascii", legalComments: "none", write: false };
  const { outputFiles } = await build({ entryPoints: [here(entry)], ...shared, ...options });
  return Buffer.from(outputFiles[0].contents);
};

const check = process.argv.includes("--check");
for (const script of SCRIPTS) {
  const file = here(script[1]);
  const wanted = await made(script);
  if (!check) await writeFile(file, wanted);
  else if (!wanted.equals(await readFile(file).catch(() => Buffer.alloc(0)))) {
    console.error(`${relative(process.cwd(), file)} is out of date: npm run build`);
    process.exitCode = 1;
  }
}
