/**
 * Command lines of GNU parallel's manual, tutorial and examples, as far as they use inputs and replacement strings that `faena map` has, and some with
 * harder values. Programs that a machine may not have are replaced by `show`, which prints its arguments.
 */

export interface CommandLine {
	/** As one word: what parallel gets as its command, and `faena map` as that of `--sh`. */
	readonly command: string;
	/** Options that both have. */
	readonly options?: readonly string[];
	/** From the first `:::` or its like on. */
	readonly inputs?: readonly string[];
	readonly stdin?: string;
}

/** Files of the folder in which they run. */
export const FILES: Readonly<Record<string, string>> = {
	'abc-file': 'A\nB\nC\n',
	'def-file': 'D\nE\nF\n',
	'abc0-file': 'A\0B\0C\0',
	f45: '4\n5\n',
	f67: '6\n7\n',
	'a.log': 'one line\n',
	"it's b.log": 'two words\nand two lines\n',
	'sub.dir/c.log': 'three\n',
	'no-end': 'x\ny',
};

const LOGS = ['a.log', "it's b.log", 'sub.dir/c.log'];
const HARD = ['a b', "it's", '"', '$(touch pwned)', '`touch pwned`', '-rf', '\\', '*', '~', 'ä😀', 'a;b', '{}', '#', '!', 'a\tb', '%s', 'a=b', '<x>'];
const PATHS = [
	'foo.jpg',
	'subdir/foo.jpg',
	'sub.dir/foo.jpg',
	'sub.dir/bar',
	'dir/file.ext',
	'/',
	'/a',
	'a/',
	'.hidden',
	'a/.hidden',
	'a.',
	'a//b',
	'../x',
	'.',
	'..',
	'a b/c d.e f',
];

export const COMMAND_LINES: readonly CommandLine[] = [
	// Tutorial: input sources
	{command: 'show', inputs: [':::', 'A', 'B', 'C']},
	{command: 'show', options: ['-a', 'abc-file']},
	{command: 'show', stdin: 'A\nB\nC\n'},
	{command: 'show', inputs: [':::', 'A', 'B', 'C', ':::', 'D', 'E', 'F']},
	{command: 'show', options: ['-a', 'abc-file', '-a', 'def-file']},
	{command: 'show', options: ['-a', '-', '-a', 'def-file'], stdin: 'A\nB\nC\n'},
	{command: 'show', inputs: ['::::', '-', 'def-file'], stdin: 'A\nB\nC\n'},
	{command: 'show', inputs: [':::', 'A', 'B', 'C', '::::', 'def-file']},
	{command: 'show', inputs: ['::::', 'abc-file', ':::+', 'G', 'H', 'I', '::::', 'def-file']},
	{command: 'show', inputs: ['::::', 'abc-file', ':::', 'G', 'H', 'I', '::::+', 'def-file']},
	{command: 'show', inputs: [':::', 'A', 'B', 'C', 'D', 'E', ':::+', 'F', 'G']},
	{command: 'show', options: ['-0'], inputs: ['::::', 'abc0-file']},
	{command: 'show', options: ['-0', '-a', 'abc0-file']},
	{command: 'show', options: ['--no-run-if-empty'], stdin: '1\n\n2\n'},
	{command: 'show', options: ['-r'], inputs: [':::', 'a', '', ' ', 'b']},
	{command: 'show', stdin: '1\n\n2'},
	{command: 'show', options: ['-a', 'no-end']},
	{command: 'show', stdin: ''},
	// Tutorial: replacement strings
	...['show', 'show {}', 'show {.}', 'show {/}', 'show {//}', 'show {/.}', 'show {#}'].map(command => ({
		command,
		inputs: [':::', 'dir/file.ext', 'dir2/file2.ext2'],
	})),
	{command: 'show {} {.} {/} {//} {/.}', inputs: [':::', ...PATHS]},
	{command: 'show {%}', options: ['-j', '1'], inputs: [':::', 'A', 'B', 'C']},
	{command: 'show {1} and {2}', inputs: [':::', 'A', 'B', ':::', 'C', 'D']},
	{command: 'show /={1/} //={1//} /.={1/.} .={1.}', inputs: [':::', 'A/B.C', 'D/E.F']},
	{command: 'show 1={1} 2={2} 3={3} -1={-1} -2={-2} -3={-3}', inputs: [':::', 'A', 'B', ':::', 'C', 'D', ':::', 'E', 'F']},
	{command: 'show foo-{}', inputs: [':::', 'A', 'B', 'C']},
	// Tutorial: several arguments
	{command: 'show', options: ['-N3'], inputs: [':::', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H']},
	{command: 'show 1={1} 2={2} 3={3}', options: ['-N3'], inputs: [':::', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H']},
	{command: 'show {1} {2} {-1}', options: ['-N', '2'], inputs: [':::', 'A', 'B', 'C']},
	{command: 'show', options: ['-n', '2'], stdin: 'A B\nC\n\nD\n'},
	{command: 'show pre-{}-post', options: ['-n3'], inputs: [':::', 'A', 'B', 'C', 'D']},
	{command: 'show {.} {/}', options: ['-n2'], inputs: [':::', 'a/x.y', 'b z/c.d', 'e']},
	{command: 'show', options: ['-n2', '-a', 'f45', '-a', 'abc-file']},
	{command: 'show {2}', options: ['-n2'], inputs: [':::', 'a', 'b', ':::', '1', '2']},
	// Tutorial: quoting
	{command: 'perl -e \'print "@ARGV\\n"\'', inputs: [':::', 'This', 'works,', 'too']},
	{command: 'printf "%s-start\\n%s" {} {};\n  printf "%s\\n" -middle;echo {}-end', inputs: [':::', '4', '2', '1']},
	// Manual
	{command: 'show gzip {}', inputs: [':::', 'file1', 'file2']},
	{command: 'show {1} {2} {3}', inputs: [':::', '6', '7', ':::', '4', '5', ':::', '1', '2', '3']},
	{command: 'show {1} {2} {3}', inputs: ['::::', 'f67', 'f45', '::::', 'abc-file']},
	{command: 'show {1} {2} {3}', options: ['-a', 'f67'], inputs: ['::::', 'f45', '::::', 'abc-file']},
	{command: 'show {1} {2} {3}', options: ['-a', 'f67', '-a', 'f45'], inputs: [':::', '1', '2', '3']},
	{command: 'show {1} {2} {3}', options: ['-a', '-', '-a', 'f45'], inputs: [':::', '1', '2', '3'], stdin: '6\n7\n'},
	{command: 'show {1} {2} {3}', inputs: ['::::', 'f67', '-', ':::', '1', '2', '3'], stdin: '4\n5\n'},
	{command: 'show', inputs: [':::', 'a', 'b', 'c', ':::+', '1', '2', '3', ':::', 'X', 'Y', ':::+', '11', '22']},
	{command: 'show', inputs: [':::', '1', '2', ':::', 'a', 'b', 'c']},
	{command: 'show chown {1} {6}', options: ['-N7'], stdin: 'root\nx\n0\n0\nroot\n/root\n/bin/bash\ndaemon\nx\n1\n1\ndaemon\n/usr/sbin\n/usr/sbin/nologin\n'},
	{command: 'show seq:{#} arg1:{1} arg2:{2}', options: ['-N2'], stdin: Array.from({length: 10}, (_, index) => `${index + 1}\n`).join('')},
	{command: 'VAR=this_is_set_after_starting ; show {} $VAR', stdin: 'test\n'},
	{command: 'VAR="two  spaces  between  each  word"; show {} "$VAR"', stdin: 'test\n'},
	{command: 'show {} \\$VAR', stdin: 'test\n'},
	{command: 'perl -ne \'/^\\S+\\s+\\S+$/ and print $ARGV,"\\n"\' {}', inputs: [':::', ...LOGS]},
	// Examples
	{command: 'show gzip --best', inputs: [':::', ...LOGS]},
	{command: 'show lame {} -o {.}.mp3', inputs: [':::', 'a b.wav', 'c.d/e.wav']},
	{command: 'show lame {} -o mydir/{/.}.mp3', inputs: [':::', 'a b.wav', 'c.d/e.wav']},
	{command: 'show rm pict{}.jpg', options: ['-n', '3'], stdin: '0000\n0001\n0002\n0003\n'},
	{command: 'show convert -geometry 120 {} {.}_thumb.jpg', inputs: [':::', ...PATHS]},
	{command: 'cat {} >{.}.copy && cat {.}.copy | wc -l', inputs: [':::', ...LOGS]},
	{command: 'printf "%s" {}" "; cat {}|wc -l', inputs: [':::', ...LOGS]},
	{command: `a={}; name=\${a##*/}; show "$name" \${a%/*}`, inputs: [':::', 'a/b', 'c']},
	{command: 'show mv {} "$(echo {} | tr "[:upper:]" "[:lower:]")"', inputs: [':::', 'README', 'Make File']},
	{command: 'grep none {} 2>/dev/null || grep -n {} abc-file', stdin: 'A\nC\n'},
	{command: 'show rm {} && show touch {}', options: ['-n2'], inputs: [':::', 'a', 'b c', 'd']},
	{command: 'if [ ! -e {} ] ; then echo {}; fi', inputs: [':::', 'a.log', 'no such file', 'nor this']},
	{command: '[ -f {1}:{2} ] || echo {1}:{2} does not exist', inputs: [':::', '1', '2', ':::', 'a', 'b']},
	{command: '(cd sub.dir; show {}; cat ../{})', inputs: [':::', ...LOGS]},
	{command: 'diff {1} {2} | wc -l', inputs: [':::', ...LOGS, ':::', ...LOGS]},
	{command: 'show {1} - {2}', inputs: ['::::', 'abc-file', '::::+', 'def-file']},
	{command: 'show {} append_string', stdin: 'a line\nanother\n'},
	{command: 'show {1}{2}{3}', inputs: [':::', '0', '1', ':::', '0', '5', ':::', 'am', 'pm']},
	// Harder values
	{command: 'show', inputs: [':::', ...HARD]},
	{command: 'show a{}b {.}', inputs: [':::', ...HARD]},
	{command: 'show {} | cat', inputs: [':::', ...HARD]},
	{command: 'show {1} {2/}', options: ['-N2'], inputs: [':::', ...HARD]},
	{command: 'show {2} {1}', inputs: [':::', ...HARD.slice(0, 6), ':::', ...HARD.slice(6, 9)]},
	{command: 'show', options: ['-0'], stdin: ['a\nb', '\n', 'c\n', "d'\n\n$x"].join('\0')},
	{command: 'show x{}; show {}', options: ['-0'], stdin: ['a\nb', '\n', 'c\n', "d'\n\n$x"].join('\0')},
];
