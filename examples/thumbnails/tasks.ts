import {mkdir, rename} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {type TaskContext, task} from 'faena';
import sharp, {type Sharp} from 'sharp';

export interface Thumbnail {
	readonly file: string;
	/** When the file was last changed, so that a changed one is another payload. */
	readonly modified: number;
	readonly width: number;
	readonly out: string;
}

export interface Written {
	readonly bytes: number;
	readonly ms: number;
}

/** Writes a picture's thumbnail, upright and in WebP. */
export const thumbnail = task(
	async ({file, width, out}: Thumbnail): Promise<Written> => {
		const start = performance.now();
		const bytes = await write(sharp(file).autoOrient().resize({width, withoutEnlargement: true}).webp(), out);
		return {bytes, ms: performance.now() - start};
	},
	{setup: oneThreadEach, timeout: '30s', maxAttempts: 1}, // a second attempt would fail, too
);

export interface Photograph {
	readonly file: string;
	readonly width: number;
	readonly height: number;
}

/** Makes a picture that is as much work to read as a photograph: soft colours with grain on top. */
export const photograph = task(
	async ({file, width, height}: Photograph, {resource: grain}: TaskContext<{resource: Buffer}>): Promise<void> => {
		const colours = await noise(16, 12, 60).png().toBuffer();
		const picture = sharp(colours).resize(width, height, {fit: 'fill', kernel: 'cubic'});
		await write(picture.composite([{input: grain, tile: true, blend: 'soft-light'}]).jpeg({quality: 90}), file);
	},
	{
		// One that was deleted is made again.
		...{outputs: ({file}: Photograph) => [file], fresh: 'code', version: '1'},
		async setup() {
			oneThreadEach();
			return noise(1024, 1024, 25).png().toBuffer();
		},
	},
);

/** One thread for each worker, because Faena already uses all processors. No cache, because each file is read once. */
function oneThreadEach(): void {
	sharp.concurrency(1);
	sharp.cache(false);
}

function noise(width: number, height: number, sigma: number): Sharp {
	return sharp({create: {width, height, channels: 3, background: 'grey', noise: {type: 'gaussian', mean: 128, sigma}}});
}

/** Writes a hidden file and renames it: readers find the whole file or none, and the next try overwrites what a kill has left. */
async function write(picture: Sharp, file: string): Promise<number> {
	const part = join(dirname(file), `.${basename(file)}.part`);
	await mkdir(dirname(file), {recursive: true});
	const {size} = await picture.toFile(part);
	await rename(part, file);
	return size;
}
