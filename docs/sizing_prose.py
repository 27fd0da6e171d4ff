"""The words of the page that says what a corpus takes; figures are put in where braces stand."""

from docs.sizing import QUERIES

INTRO = f"""\
# What a corpus takes

Disk, memory, hours and money for corpora up to a billion documents, and for many languages, with the arithmetic, so
that you can put in your own figures. How such a corpus is measured is [another page](../how-to/large-corpora.md).

Each row says how its figures came about. **Measured** ones were taken on a machine with two processors and without a
GPU, which had other work to do as well; `python -m tests.bench.sizing` takes them again. Those that are
**calculated** follow from the formulas below. No GPU was at hand: rates of GPUs, and all prices, are **assumed**.

## What was measured

One command on synthetic corpora in MIRACL's format, with {QUERIES:,} queries in three languages and a pool of all of
them; vectors of 64 dimensions from hashed character n-grams, so that what is seen is the cost of streaming itself:"""

RATES = """\
Memory is that of all processes of the command together, libraries included. With {times:.0f} times the documents, it
changes by {memory:+.0%}, and processor time for a document by {pace:+.0%}.

The steps alone, each on one thread or one GPU:"""

FORMULAS = """\
## The arithmetic

With n documents, q queries, d dimensions, and parts of {part:,} documents, of which there are p = n / {part:,}:

| what | formula |
|---|---|
| shards on disk, packed | {packed} bytes a document in MIRACL; look at yours |
| vectors on disk, where they are kept | n (4 d + {beside}) bytes |
| `streams/` on disk | 8 n bytes for ids, and {kept} bytes for each query and part: 8 n + {kept} q p |
| a worker's memory, beside libraries and model | {part:,} (text + (4 x {copies} + 8) d) + 8 q d bytes, and 34 MB |
| ranking | 2 n q d operations |
| hours of a step | n / (rate x workers x 3,600), or for ranking 2 n q d / (rate x workers x 3,600) |
| money | hours of all workers x the price of one for an hour |

q are the queries that ask for a document: those of its own language where settings are monolingual, as in MIRACL, and
all of them in a pool. The {copies} copies of vectors are the worst case, while they are saved; then they are grid
vectors of 8 bytes for a number. Text is taken as 4,000 bytes for a document in memory. Queries and relevant documents
are few and left out, as is the scan (its rate is above). Where several workers take turns at a shard, it is unpacked
up to (its parts + 1) / 2 times: in one of 500,000 documents each is passed over 15 times at most, which at the measured
rate takes a second for 30,000 documents.

For 1,000 queries:"""

ENCODING = """\
Ranking 100 million documents takes about an hour of one thread, which all workers share: exact ranks are not what
costs. Nothing beyond a million documents was measured.

## Hours and money of encoding

Encoding is what costs. The rate of a processor is the one measured above, for texts of its length; half as long takes
half the time, and [another backend](../how-to/faster-encoding.md) may do more. For a GPU the rate follows from an
assumption: that it does {useful} trillion useful operations in a second, a tenth or less of what is promised for the
large ones at 16 bits, and that an encoder takes two operations for each weight of its layers and each of {tokens}
tokens. (The authors of DPR, arXiv 2004.04906, tell of 8.8 hours on 8 GPUs for 21 million passages in 2020: 83
passages in a second for a GPU and an encoder of 768 dimensions, a twelfth of the rate assumed here.) A thread is
taken at {processor} for an hour, a GPU at {gpu}, in whatever money you pay; that is assumed too. Each cell has the
time with one worker, the time with {pool}, and the money, which is the same for both: what is lost in handing out
work is left out."""

WORKERS = """\
## How many workers help

That was calculated; more than two workers were not at hand. What bounds their number is measured. Handing
out an item costs {items}. Adding up and saving the counts of a part,
which the command does for one part after the other, takes {part} for {queries:,} queries. So it keeps at most as many
workers busy as one worker's time for a part, divided by that:"""

LANGUAGES = """\
## Many languages

In a collection of parallel texts every language asks every other, and the pool of all. Texts grow with the number of
languages; scores, counts and the ranks file grow with the number of pairs of languages, its square. Up to about eight
million counts, mlbench keeps those of each language, with which any pool can be answered later; beyond that it keeps
those of the pools that were asked for.

Processor time is that of the whole run, on two processors. The synthetic texts have 30 topics, and vectors from hashed
character n-grams; `flores-200` has 1,004 topics, and the default model. From 50 languages on, processor time grew with
the number of languages to the power of {synthetic}, and of {flores_200}. The rows of {many:,} languages are the last
measured ones times the square of how many times as many languages there are. Counts of more than 2 GB are refused, so
that this many languages with 1,004 topics would be measured in parts:"""

MIRACL = """\
## MIRACL

Its own sizes, with vectors of 768 dimensions and its own queries. One shard's size is not published and not in the
sum."""

OWN = """\
## Your own figures

Measure the rate of your model where it will run, on your documents: the line `stream: ... documents/s` of a run on
one shard says it, once the first parts are through. Then

    hours = documents / rate / workers / 3,600
    money = hours x workers x price of a worker for an hour

10 million documents at 500 texts a second on 4 GPUs: 10,000,000 / 500 / 4 / 3,600 = 1.4 hours; at 2.00 for a GPU and
hour, 11."""
