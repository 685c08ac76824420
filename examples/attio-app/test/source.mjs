/** A module of the app's source, for tests of what needs no Attio around it. */
import {fileURLToPath} from "node:url"
import {build} from "esbuild"

export async function load(path) {
    const entryPoints = [fileURLToPath(new URL(`../${path}`, import.meta.url))]
    const {outputFiles} = await build({entryPoints, bundle: true, format: "esm", platform: "node", write: false})
    return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`)
}
