#!/usr/bin/env bash
# The program `translate` from outside: what it prints, and what it refuses in which words. Usage: program_test.sh TRANSLATE
set -euo pipefail
translate=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
failures=0

# expect STATUS TEXT COMMAND...: its output, both kinds together, holds the text.
expect() {
  local status=0
  "${@:3}" >output 2>&1 || status=$?
  if [[ $status != "$1" || $(<output) != *"$2"* ]]; then
    printf 'line %s: expected status %s and "%s", got status %s and:\n%s\n' "${BASH_LINENO[0]}" "$1" "$2" "$status" "$(<output)"
    failures=$((failures + 1))
  fi
}

small=(--d-model 16 --heads 2 --layers 1 --ff 32 --steps 4 --validate-every 2 --longest 12)
printf 'one two\nthree four five\nsix\n' >source
printf 'eins zwei\ndrei vier fuenf\nsechs\n' >target
text=(--source source --target target --valid-source source --valid-target target --vocab-size 260 "${small[@]}")
expect 0 'parameters' "$translate" train "${text[@]}" --out model --longest 20
model=model/best.safetensors

cp -r model blocked
rm blocked/report.html
mkdir blocked/report.html
expect 0 'warning: blocked/report.html is not written: ' "$translate" train --resume --steps 6 --out blocked

# Training removes what killed runs of its own left half written, and nothing else.
mkdir own
cp source own/train.tmp.en
cp target own/train.tmp.fr
kept=(step-40.safetensors.tmp.4 train.tmp.en train.tmp.fr notes.tmp.1 last.safetensors.tmp.1x last.safetensors.tmp. my-log.jsonl.tmp.1 step-.safetensors.tmp.1)
gone=(best.safetensors.tmp.1 last.safetensors.tmp.22 log.jsonl.tmp.5 report.html.tmp.6)
(cd own && touch "${kept[@]}" "${gone[@]}")
expect 0 'parameters' bash -c "cd own; '$translate' train --source train.tmp.en --target train.tmp.fr --valid-source train.tmp.en \
  --valid-target train.tmp.fr --vocab-size 260 ${small[*]} --out ."
for file in "${kept[@]}"; do [[ -e own/$file ]] || { echo "training removed $file"; failures=$((failures + 1)); }; done
for file in "${gone[@]}"; do [[ ! -e own/$file ]] || { echo "training left $file"; failures=$((failures + 1)); }; done

# A new run overwrites no file, and what it says leads out.
for file in best.safetensors log.jsonl report.html; do
  mkdir "with-$file"
  echo mine >"with-$file/$file"
  expect 2 "train: with-$file holds $file, which training would overwrite: name another --out, or move it away" \
    "$translate" train "${text[@]}" --out "with-$file"
  expect 1 "to begin anew, leave out --resume and name another --out: with-$file holds $file" "$translate" train --resume --out "with-$file"
  [[ $(cat "with-$file/"*) == mine ]] || { echo "$file was overwritten"; failures=$((failures + 1)); }
done
expect 2 'last.safetensors is there already: go on from it with --resume' "$translate" train "${text[@]}" --out model
cp -r model kept
rm kept/last.safetensors
expect 2 'kept holds best.safetensors, log.jsonl, report.html, which' "$translate" train "${text[@]}" --out kept
expect 1 'without --resume training begins anew' "$translate" train --resume --out none

# The history of a run that goes on is kept, or it does not go on.
unreadable() {
  expect 1 'model/log.jsonl, the history of this run, cannot be read' "$translate" train --resume --steps 6 --out model
}
mv model/log.jsonl history
mkdir model/log.jsonl
unreadable
rmdir model/log.jsonl
ln -s /proc/self/mem model/log.jsonl  # its first byte cannot be read, not even by root
unreadable
[[ -L model/log.jsonl ]] || { echo 'an unreadable log was overwritten'; failures=$((failures + 1)); }
rm model/log.jsonl
cp history model/log.jsonl
chmod a-r model/log.jsonl
[[ -r model/log.jsonl ]] || unreadable
chmod u+r model/log.jsonl
cp -r model relogged
sed 's/": /":/g; s/, "/,"/g' history >relogged/log.jsonl  # other spacing, and a last line that was cut
printf '{"kind":"tra' >>relogged/log.jsonl
lines=$(wc -l <history)
expect 0 'after step 4' "$translate" train --resume --steps 6 --out relogged
[[ $(grep -c '"kind":"' relogged/log.jsonl) == "$lines" ]] || { echo 'a log of other spacing was not kept'; failures=$((failures + 1)); }
sed 's/, /,\n/g' history >relogged/log.jsonl
cp relogged/log.jsonl pretty
expect 1 "relogged/log.jsonl, line 1: expected one of training's own lines" "$translate" train --resume --steps 8 --out relogged
cmp -s pretty relogged/log.jsonl || { echo 'a log that cannot be read was changed'; failures=$((failures + 1)); }

expect 2 'smothing: unknown option; did you mean --smoothing?' "$translate" train --smothing 0.1
expect 2 'train: name what to learn' "$translate" train --out none
expect 2 'translate: no command `trian`; did you mean train?' "$translate" trian
echo 'layer = 2' >config
expect 2 'config, line 1: layer: unknown option; did you mean layers?' "$translate" train --config config
expect 2 'this text allows at most' "$translate" train "${text[@]}" --vocab-size 8000 --out large
expect 1 '3 pairs to learn from longer than 4 tokens' "$translate" train "${text[@]}" --longest 4 --out short
expect 1 'nowhere: cannot be opened: No such file' "$translate" train --source nowhere --target target "${small[@]}" --out none
[[ ! -e none ]] || { echo 'a refused training left its folder'; failures=$((failures + 1)); }
expect 2 'heads 3 do not divide --d-model 16; did you mean 2?' "$translate" train "${text[@]}" --heads 3 --out none
expect 2 'did you mean --tie output?' "$translate" train --toy --tie all --out none
expect 0 'tokenizer = bpe' "$translate" train "${text[@]}" --dump-config
expect 0 'resume = false' "$translate" train --resume --out model --dump-config
expect 0 "--model 'it'\\''s \$HOME/best.safetensors'" "$translate" train "${text[@]}" --out "it's \$HOME"
expect 1 'cannot write to standard output' bash -c "set -o pipefail; '$translate' train ${text[*]} --out piped | head -1"
[[ -e piped/best.safetensors ]] || { echo 'a reader who went away ended the training'; failures=$((failures + 1)); }
expect 2 'the toy language has no --epochs' "$translate" train --toy "${small[@]}" --epochs 1 --out none

printf 'the quick brown fox jumps\n%.0s' 1 2 3 >long
expect 0 'BLEU 100.00  (nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp)' "$translate" score --hypothesis long --reference long
expect 2 '--reference: expected one file, got several' "$translate" score --hypothesis long --reference long --reference source
expect 1 'score: source has 3 lines, one has 1' bash -c "echo x >one; '$translate' score --hypothesis source --reference one"

expect 0 'BLEU' "$translate" evaluate --model $model --source source --target target
expect 0 '' bash -c "printf 'one\n\n two\n' | '$translate' translate --model $model 2>/dev/null"
[[ $(wc -l <output) == 3 && -z $(sed -n 2p output) ]] || { echo "blank lines: $(<output)"; failures=$((failures + 1)); }
expect 1 'standard input, line 2, byte 1: not valid UTF-8' bash -c "printf 'one\n\xff\n' | '$translate' translate --model $model"
[[ $(grep -vc '^line 1: the translation is cut after 20 tokens$' output) == 2 ]] || { echo "lines before a bad one: $(<output)"; failures=$((failures + 1)); }
expect 0 "line 1: 26 tokens, cut to the model's 20" bash -c "echo abcdefghijklmnopqrstuvwxy | '$translate' translate --model $model"
expect 0 'line 1: the translation is cut after 3 tokens' bash -c "echo one | '$translate' translate --model $model --longest 3"
printf 'one\n\nthree\n' >gaps
expect 0 '1 pairs with an empty side count for BLEU, not for the nll' "$translate" evaluate --model $model --source gaps --target target
[[ $(<output) == *'3 sentences'* ]] || { echo "a pair was left out: $(<output)"; failures=$((failures + 1)); }
expect 1 'nowhere: no such file' "$translate" translate --model nowhere
expect 2 'name a model' "$translate" translate
expect 2 'unknown option; translate reads standard input' "$translate" translate --model $model --source source
expect 0 'Each command explains itself' "$translate" -h
expect 0 'where to train' "$translate" train -h

# A checkpoint with another text in its metadata, of the same length so that the file stays whole.
damaged() { sed "s/$1/$2/" $model >damaged && expect 1 "$3" "$translate" translate --model damaged; }
damaged '"gradus translate 2"' '"gradus translate 9"' 'expected format'
damaged '"step":"4"' '"step":"x"' 'expected a number'
damaged '"seconds":"0"' '"seconds":"-"' 'expected a number'
damaged 'd-model = 16' 'd-model = 99' 'its options make a model of at least'
damaged 'layers = 1' 'layers = x' 'layers: expected a whole number'

((failures == 0)) && echo 'the program says what it should'
