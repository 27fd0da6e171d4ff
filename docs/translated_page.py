"""The page on translated and native collections, with the shipped tasks of each kind."""

from mlbench.tasks.task import Task, load_task, task_names

_INTRO = """\
# Translated and native collections

A collection in many languages is made in one of two ways. Either questions and documents are written in one language
and translated, or they are written in each language by itself. What a benchmark can say depends on which it is. This
page says what translation does to it, and which of the shipped tasks are made how."""

_EFFECTS = """\
## What translation does

**Translated text is not native text.** Translations are simpler and more regular than originals, and keep traces of
the language that they come from (Volansky et al. 2015). In machine translation, they make evaluations less accurate,
so that test sets which were translated in the wrong direction are best left out (Graham et al. 2020). A score on
translations says how well a retriever does on translations; native text of the same language may be harder.

**Questions share words with their answers.** Where question and passage are translated together, the words that they
had in common are translated alike. Artetxe et al. (2020) show for inference that translating the two texts of a pair
apart takes away that overlap, to which models are sensitive, and that results move by several points with it.
Questions that were written by somebody who saw the answer have more in common with it from the beginning: those of
TyDi QA were asked by people who did not know the answer, for that reason (Clark et al. 2020). Retrievers that match
words, such as BM25 and hashed n-grams, gain most. The share of a question's words that stand in its paragraph, words
in lower case, is

| | English | Arabic | Russian |
|---|---|---|---|
| XQuAD (written from the paragraph, then translated) | .663 | .511 | .508 |
| TyDi QA, gold paragraphs (asked without it, in each language) | .579 | .553 | .393 |

In English and Russian the translated collection overlaps more, in Arabic it does not: how a question came to be
matters beside its translation, and only a look at the data tells.

**Topics are those of the first language.** Translated questions ask what people asked, or wrote about, in the
language they come from, mostly English. Of the questions of MMLU, 28 % need knowledge of a culture, mostly a Western
one, and models rank differently on these and on the others (Singh et al. 2025). The articles behind XQuAD and the
news of NTREX were chosen in English as well. Speakers of other languages ask other things, and often nothing in their
own language answers them: XOR-TyDi has 40,000 questions of TyDi QA for which the Wikipedia of their language had no
answer (Asai et al. 2021).

**Quality of translation and of languages cannot be told apart.** A low score in a language may be the fault of its
translation. That is likely where a machine translated, as in mMARCO, and less so where people did and were checked,
as in Belebele, FLORES-200 and NTREX-128. MuPLeR is between: its passages were translated by the services of the
European Union, its questions were made by a language model.

## What only translation gives

Everything else is equal. The same question with the same answer stands in every language, so a difference between two
languages is one of retriever or translation, never of topics, of difficulty or of how many documents are relevant.
That makes every pair of languages comparable, and so it does bias: in the pool of all languages, the documents of a
topic are equally good answers, and a retriever without a preference puts each first as often. The value by chance of
own_language_preference, rank_distance, language_prior and rank_spread is known exactly.

## What native collections give

They ask what users ask, of what is written where they live. Scores of one language are estimates of what its users
will see. But means over languages add up unlike things. Corpora, topics and judgments differ, so that nDCG@10 of .6
in Finnish and of .4 in Korean says nothing of which language a retriever is better at; two retrievers can be compared
in each.

In a pool of native documents, languages have unequal numbers of relevant documents, of unequal worth. Scores that
compare translations are not given. [PEER, AWRF and the exposure scores](bias.md#translations-and-native-documents)
use all relevant documents, and expect of each language what follows from its number. If the documents of one language
answer better, they are read as bias; own_language_exposure, which compares queries in different languages on the same
documents, is not misled. Multi-EuP and NeuCLIR are of this kind: their topics are translated, so that the same
question can be asked in each language, and their documents are not.

## Which to use

- To compare languages, or to measure bias between them: translations, of passages rather than sentences, and several
  collections, as each is of one kind of text.
- To know how well a language is served: native collections of that language.
- To choose between two retrievers: both. Where the two kinds disagree, the native ones are nearer to what users do."""

_SOURCES = """\
## Sources

- Artetxe, Labaka and Agirre 2020, Translation Artifacts in Cross-lingual Transfer Learning, EMNLP, arXiv 2004.04721.
- Asai et al. 2021, XOR QA: Cross-lingual Open-Retrieval Question Answering, NAACL, arXiv 2010.11856.
- Clark et al. 2020, TyDi QA: A Benchmark for Information-Seeking Question Answering in Typologically Diverse Languages,
  TACL, arXiv 2003.05002.
- Graham, Haddow and Koehn 2020, Statistical Power and Translationese in Machine Translation Evaluation, EMNLP, arXiv
  1906.09833.
- Singh et al. 2025, Global MMLU: Understanding and Addressing Cultural and Linguistic Biases in Multilingual
  Evaluation, ACL, arXiv 2412.03304.
- Volansky, Ordan and Wintner 2015, On the Features of Translationese, Digital Scholarship in the Humanities 30(1)."""

_LIST = """\
## The shipped tasks

As their [task files](../reference/task-file.md) say. *Topics* are shared where the same question is asked in several
languages; else each language has its own. Tasks of [captioned images](image-text.md) are left out. [Tasks and
recipes](../reference/tasks.md) lists the files of all."""


def page() -> str:
    """Return the page."""
    tasks = [task for name in task_names() if (task := load_task(name)).kind == "text"]
    rows = ["| task | languages | topics | documents |", "|---|---|---|---|"]
    rows += [_row(task) for task in sorted(tasks, key=lambda task: (task.documents != "translations", task.name))]
    return "\n\n".join([_INTRO, _EFFECTS, _LIST, "\n".join(rows), _SOURCES])


def _row(task: Task) -> str:
    topics = "shared" if task.parallel else "of each language"
    documents = {"translations": "translations", "native": "native", None: "as the judgments say"}[task.documents]
    return f"| `{task.name}` | {len(task.languages)} | {topics} | {documents} |"
