/**
 * Draws the terminal that README.md shows: `npm run picture`. It runs `faena map` in a temporary folder, interrupts it, and runs it
 * again, then once more after a file was edited. It draws the output as an SVG file beside the charts.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {appendFileSync, cpSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Columns of the terminal; in pixels, the size of a character and the margin of the picture. */
const [COLUMNS, WIDTH, HEIGHT, MARGIN] = [92, 8.4, 20, 16];
/** The first run is interrupted at this share. */
const INTERRUPTED_AT = /\b[4-9]\d%/;
/** Tells a terminal to clear its line and write it anew. */
const CLEAR_LINE = '\r\x1B[K';
const MAP = "faena map './tasks.ts#precompress' 'src/**/*.ts' > sizes.ndjson";

const folder = mkdtempSync(join(tmpdir(), 'faena-picture-'));
try {
	cpSync(here('../lib'), join(folder, 'src'), {recursive: true});
	cpSync(here('../examples/precompress/tasks.ts'), join(folder, 'tasks.ts'));
	mkdirSync(join(folder, 'node_modules'));
	symlinkSync(here('..'), join(folder, 'node_modules', 'faena'), 'junction');
	const interrupted = await run(MAP, INTERRUPTED_AT);
	const resumed = await run(MAP);
	const path = here('results/front-terminal.svg');
	appendFileSync(join(folder, 'src', 'index.ts'), '// edited\n');
	const edited = await run(MAP);
	writeFileSync(path, draw([...interrupted, ...resumed, "$ echo '// edited' >> src/index.ts", ...edited, ...(await run('faena status'))]));
	console.log(path);
} finally {
	rmSync(folder, {recursive: true});
}

/** Runs a command line, and sends it SIGINT once its output matches. Returns the lines that a terminal shows at the end. */
async function run(line: string, interruptAt?: RegExp | undefined): Promise<string[]> {
	const [, args = '', file] = /^faena (.*?)(?: > (\S+))?$/.exec(line) ?? [];
	const isTerminal = `data:text/javascript,process.stderr.isTTY = true; process.stderr.columns = ${COLUMNS}`;
	const options = ['--conditions=faena-source', '--import', isTerminal, here('../lib/cli/main.ts')];
	const stdout = file === undefined ? 'pipe' : openSync(join(folder, file), 'w');
	const faena = spawn(process.execPath, [...options, ...args.replaceAll("'", '').split(' ')], {cwd: folder, stdio: ['ignore', stdout, 'pipe']});
	let output = '';
	for (const stream of [faena.stdout, faena.stderr]) {
		stream?.setEncoding('utf8').on('data', text => {
			output += text;
			if (!interruptAt?.test(output.slice(output.lastIndexOf(CLEAR_LINE)))) return;
			interruptAt = undefined;
			faena.kill('SIGINT');
		});
	}
	await once(faena, 'close');
	const shown = output.trimEnd().split('\n');
	return [`$ ${line}`, ...shown.map(each => each.slice(each.lastIndexOf(CLEAR_LINE) + 1).replace(CLEAR_LINE.slice(1), ''))];
}

function draw(lines: readonly string[]): string {
	const [width, height] = [Math.ceil(COLUMNS * WIDTH) + 2 * MARGIN, lines.length * HEIGHT + 2 * MARGIN];
	const texts = lines.map((line, index) => {
		const colour = line.startsWith('$') ? '#ffffff' : '#c8d3e0';
		const place = `x="${MARGIN}" y="${MARGIN + HEIGHT * index + 14}" textLength="${(line.length * WIDTH).toFixed(1)}"`;
		return `<text ${place} lengthAdjust="spacingAndGlyphs" fill="${colour}">${escaped(line)}</text>`;
	});
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">
<rect width="100%" height="100%" rx="8" fill="#1b2330"/>
${texts.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
	return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
