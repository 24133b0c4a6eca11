/** Reads a command as a shell does, as far as it takes to know how each replacement string is quoted. */

import {bad} from '../../../internal/words.ts';
import {type Replacement, replacementAt, type Shape} from './replacement.ts';

/** A replacement string, and the quotes around it. `arithmetic`: within `$((…))`; `assignment`: without quotes, after `NAME=`. */
export interface Hole extends Replacement {
	readonly quotes: 'none' | 'single' | 'double' | 'arithmetic' | 'assignment';
}

export type Pieces = readonly (string | Hole)[];

export interface Scanned {
	readonly text: Pieces;
	/** The words of the command without their quotes, if it needs no shell. */
	readonly words: readonly Pieces[] | undefined;
}

/** @throws FaenaError `BadOption` if quotes or parentheses don't end, or a replacement string stands where a value would not be safe */
export function scan(command: string, shape: Shape): Scanned {
	return new Scanner(command, shape).scan();
}

/** Characters that mean something to a shell outside quotes, besides those that begin something longer. */
const SPECIAL = /[|&;<>(){}*?[~\n]/;
/** After these a word begins. */
const BETWEEN_WORDS = /[\s|&;<>()]/;
/** Commands of the shell itself, which have no program. */
const BUILTINS =
	'. : alias bg break cd command continue eval exec exit export fc fg getopts hash jobs read readonly return set shift time times trap type ulimit umask unalias unset wait';

/** A recursive-descent scanner: each method, such as `#bare` or `#double`, reads to the end of what it is named after. */
class Scanner {
	readonly #command: string;
	readonly #shape: Shape;
	#at = 0;
	#text: (string | Hole)[] = [];
	/** Where the part of the command begins that is not yet in the text. */
	#copied = 0;
	readonly #words: (string | Hole)[][] = [];
	/** The word that is being read; `undefined` between words. */
	#word: (string | Hole)[] | undefined;
	/** Where a word may begin: the end of the last space or operator. */
	#wordStart = 0;
	#needsShell = false;

	constructor(command: string, shape: Shape) {
		this.#command = command;
		this.#shape = shape;
	}

	scan(): Scanned {
		this.#bare('');
		this.#copyText();
		this.#endWord();
		const [first] = this.#words[0] ?? [];
		const needsShell = this.#needsShell || (this.#words[0]?.length === 1 && (BUILTINS.split(' ') as readonly unknown[]).includes(first));
		return {text: this.#text, words: needsShell ? undefined : this.#words};
	}

	/** Outside quotes, up to `)` if that ends it, or up to the end of the command. */
	#bare(end: ')' | ''): void {
		let depth = 0;
		for (let char = this.#char; char !== ''; char = this.#char) {
			if (char === ')' && depth === 0 && end !== '') return;
			this.#refuse(end);
			if (char === '(') depth++;
			if (char === ')') depth = Math.max(0, depth - 1);
			this.#bareChar(char);
		}
		if (end !== '') throw unended('$(');
	}

	#bareChar(char: string): void {
		if (char === '\\') this.#escape();
		else if (char === "'") this.#single();
		else if (char === '"') this.#double();
		else if (char === '$') this.#dollar({isQuoted: false});
		else if (char === '`') this.#backquotes();
		else if (char === '#' && this.#at === this.#wordStart) this.#comment();
		else if (!this.#hole('none')) this.#plainChar(char);
	}

	#plainChar(char: string): void {
		const isAssignment = char === '=' && this.#words.length === 0;
		const isNegation = char === '!' && this.#at === this.#wordStart;
		if (SPECIAL.test(char) || isAssignment || isNegation) this.#needsShell = true;
		if (char === ' ' || char === '\t') this.#endWord();
		else this.#push(char);
		this.#at++;
		if (BETWEEN_WORDS.test(char)) this.#wordStart = this.#at;
	}

	/** Refuses what this scanner doesn't read, and what is not of every sh. */
	#refuse(end: ')' | ''): void {
		if (this.#startsWith('<<'))
			throw bad("The command has <<, and a here-document can't have values. Write printf '%s\\n' {} | … instead, or put it into a script.");
		if (this.#startsWith('(('))
			throw bad('The command has ((, which means different things in different shells. Write $((…)) to calculate, or ( ( for two subshells.');
		if (this.#at !== this.#wordStart) return;
		const word = this.#command.slice(this.#at, this.#at + 5);
		if (/^\[\[\s/.test(word)) throw bad('The command has [[, which is not of sh. Write [ … ] for a test, or put it into a script.');
		if (end === ')' && /^case\s/.test(word)) throw bad('The command has a case within $(…). Put this part into a script.');
	}

	#escape(): void {
		const next = this.#command[this.#at + 1] ?? '';
		if (next === '\n') this.#needsShell = true;
		// The shell removes both characters of a line that goes on, so a word may still begin there.
		if (next === '\n' && this.#at === this.#wordStart) this.#wordStart += 2;
		this.#push(next === '' ? '\\' : next);
		this.#at += 2;
	}

	#single(): void {
		this.#push('');
		this.#at++;
		for (let char = this.#char; char !== "'"; char = this.#char) {
			if (char === '') throw unended("'");
			// In the text of another program that is one of its variables.
			const isVariable = char === '{' && this.#command[this.#at - 1] === '$';
			if (isVariable || !this.#hole('single')) {
				this.#push(char);
				this.#at++;
			}
		}
		this.#at++;
	}

	#double(): void {
		this.#push('');
		this.#at++;
		for (let char = this.#char; char !== '"'; char = this.#char) {
			if (char === '') throw unended('"');
			if (char === '\\') this.#escapeInDouble();
			else if (char === '$') this.#dollar({isQuoted: true});
			else if (char === '`') this.#backquotes();
			else if (!this.#hole('double')) {
				this.#push(char);
				this.#at++;
			}
		}
		this.#at++;
	}

	#escapeInDouble(): void {
		const next = this.#command[this.#at + 1] ?? '';
		if (next === '\n') this.#needsShell = true;
		this.#push('$`"\\'.includes(next) ? next : `\\${next}`);
		this.#at += 2;
	}

	#dollar({isQuoted}: {readonly isQuoted: boolean}): void {
		this.#needsShell = true;
		if (this.#startsWith("$'") && !isQuoted) throw bad("The command has $'…', which not every sh knows. Write \"$(printf '…')\".");
		if (this.#startsWith('$[')) throw bad('The command has $[…], which is not of sh. Write $((…)).');
		if (this.#startsWith('$((')) this.#arithmetic();
		else if (this.#startsWith('$(')) this.#substitution();
		else if (this.#startsWith('${')) this.#parameter();
		else this.#at++;
	}

	#substitution(): void {
		this.#at += 2;
		this.#wordStart = this.#at;
		this.#bare(')');
		this.#at++;
	}

	#arithmetic(): void {
		this.#at += 3;
		let depth = 0;
		for (let char = this.#char; depth > 0 || !this.#startsWith('))'); char = this.#char) {
			if (char === '') throw unended('$((');
			if (char === '(') depth++;
			if (char === ')') depth--;
			if (char === '$') this.#dollar({isQuoted: true});
			else if (char === '`') this.#backquotes();
			else if (!this.#hole('arithmetic')) this.#at++;
		}
		this.#at += 2;
	}

	/** `${…}`. What is quoted how in there differs between shells. */
	#parameter(): void {
		const start = this.#at;
		const holes = this.#holes;
		this.#at += 2;
		while (this.#char !== '}') this.#parameterChar(this.#char);
		this.#at++;
		const text = this.#command.slice(start, this.#at);
		if (this.#holes > holes) throw bad(`The command has a replacement string within ${text}. Assign it before, for instance: file={}; …`);
	}

	#parameterChar(char: string): void {
		if (char === '') throw unended('${');
		if (char === "'")
			throw bad(
				`The command has a ' within ${this.#command.slice(this.#command.lastIndexOf('${', this.#at), this.#at)}…}, which means different things in different shells. Put this part into a script.`,
			);
		if (char === '\\') this.#at += 2;
		else if (char === '"') this.#double();
		else if (char === '$') this.#dollar({isQuoted: true});
		else if (char === '`') this.#backquotes();
		else if (!this.#hole('none')) this.#at++;
	}

	#backquotes(): void {
		this.#needsShell = true;
		const start = this.#at;
		for (this.#at++; this.#char !== '`'; this.#at++) {
			if (this.#char === '') throw unended('`');
			if (this.#char === '\\') this.#at++;
			else if (replacementAt(this.#command, this.#at, this.#shape))
				throw bad(`The command has a replacement string within ${this.#command.slice(start, this.#at)}…\`. Write $(…) instead of the backquotes.`);
		}
		this.#at++;
	}

	/** A value with a line feed would end the comment. So nothing is replaced there. */
	#comment(): void {
		this.#needsShell = true;
		const end = this.#command.indexOf('\n', this.#at);
		this.#at = end < 0 ? this.#command.length : end;
	}

	/** Reads a replacement string, if there is one. */
	#hole(quotes: Hole['quotes']): boolean {
		const found = replacementAt(this.#command, this.#at, this.#shape, quotes === 'single');
		if (!found) return false;
		// There a second value would be a word of its own, and so the command.
		const isAssigned = quotes === 'none' && /^\w+\+?=/.test(this.#command.slice(this.#wordStart, this.#at));
		const hole: Hole = {...found.replacement, quotes: isAssigned ? 'assignment' : quotes};
		this.#copyText();
		this.#text.push(hole);
		this.#push(hole);
		this.#at += found.length;
		this.#copied = this.#at;
		return true;
	}

	get #holes(): number {
		return this.#text.filter(each => typeof each !== 'string').length;
	}

	get #char(): string {
		return this.#command[this.#at] ?? '';
	}

	#startsWith(text: string): boolean {
		return this.#command.startsWith(text, this.#at);
	}

	#copyText(): void {
		if (this.#copied < this.#at) this.#text.push(this.#command.slice(this.#copied, this.#at));
		this.#copied = this.#at;
	}

	#push(piece: string | Hole): void {
		this.#word ??= [];
		const last = this.#word.at(-1);
		if (typeof piece === 'string' && typeof last === 'string') this.#word[this.#word.length - 1] = last + piece;
		else this.#word.push(piece);
	}

	#endWord(): void {
		if (this.#word) this.#words.push(this.#word);
		this.#word = undefined;
	}
}

function unended(what: string): Error {
	return bad(`The command has ${what} without its end. Quote it if it is meant as it stands.`);
}
