# SPDX-License-Identifier: Apache-2.0
"""Model cards of the residual U-Nets: training data, scores, reproducibility and known failures."""

SEGMENTS = {
    "polyp-compact": "polyps in single colonoscopy frames (RGB)",
    "left-atrium-compact": "the left atrial cavity in 3D late gadolinium enhanced MRI",
}

DATA = {
    "polyp-compact": """\
| set | frames | used for | terms |
|---|---|---|---|
| Kvasir-SEG (Jha 2020), usual 800/100/100 split | 799 | training | research and education |
| PolypGen (Ali 2023), single frames of six hospitals, 99 without a polyp | 1237 | training | CC BY 4.0 |
| drawn by `training/data/scenes.py`, a third without a polyp | {scenes} | training | this project's |
| Kvasir-SEG validation | 100 | held out: the scores below | research and education |

No frame of the Kvasir-SEG test hundred was used. {left_out}Kvasir-SEG itself may hold several frames of one polyp, and the
usual split does not keep them apart.""",
    "left-atrium-compact": """\
| set | volumes | used for | terms |
|---|---|---|---|
| 2018 Left Atrium Segmentation Challenge, training half of the usual 80/20 split | 64 | training | research; the publisher states no licence |
| drawn by `training/data/scenes.py` | {scenes} | training | this project's |
| 2018 Left Atrium Segmentation Challenge, same half | 16 | held out: the scores below | as above |

Every fifth of the sorted names is held out. The two scans that share one mask are both in training. Held out are
{held_out}.
The publisher of this copy cropped the volumes around the truth: a whole chest is a harder case than was measured.""",
}

FAILURES = {  # failures that were not measured are called expected
    "polyp-compact": """\
- **False alarms on frames without a polyp.** With presence heads that were fitted without the centre, {marked} of such frames
  get a mask. The trunk was trained on most of these frames, so a hospital that nobody has seen may do worse.
- **Polyps called absent, or not found at all.** {zero} of {count} held-out frames score 0, {half} below 0.5.
- Expected, not measured: narrow-band and dye images, burned-in text, a second picture in the frame; other hospitals.
- The frame is stretched to a square of {size} pixels: polyps below about a twentieth of its side are few pixels.""",
    "left-atrium-compact": """\
- The roof and the veins' ends are worst, where the annotators' conventions matter most.
- Volumes of about 90 to 150 mm a side were seen; beyond 225 mm the field is searched, and the answer noted as "field of view
  outside training". The held-out volumes in the middle of 640 x 640 pixels of zeros kept their Dice (.919 and .917), and so
  among their own mirror images (.917); no whole chest was at hand.
- Expected, not measured: other scanners and hospitals, poor nulling, heavy noise; other contrasts (cine, angiography)
  were never seen and give arbitrary masks.""",
}

REPRODUCIBILITY = """\
Trained in stages of {stages} samples. The runs were stopped and resumed, and their length was fitted to the time there was,
which changes the learning rate. Later stages compute in bf16 on processors with instructions for it. A fresh run of the
command gives other weights, with scores that should lie within the interval above."""


CONFIDENCE = """
`confidence` in records, reports and SEG objects is the Dice that the answer is expected to reach. If nothing was found, it is
the probability that nothing is there. It is computed from measures of the answer (`training/recipes/confidence.py`) by a logistic fit that never
decreases when a measure increases: {terms}. `training/fitting/fit_confidence.py` fitted it to cases kept
apart{which}, and to blurred, noisy, low-contrast and cropped copies of each. The figures below are cross-fitted; a case and
its copies are always in one fold.

| cases | number | Spearman with Dice | AUROC for Dice < 0.7 | mean confidence | mean Dice |
|---|---|---|---|---|---|
{rows}

Confidence separates the held-out cases from their corrupted copies with an AUROC of {corrupted}, and from the most corrupted third
of the copies with an AUROC of {most}. Many copies are segmented as well as their originals. The fifth of the held-out
cases with the lowest confidence (at most {low:.2f}) has a mean Dice of {doubtful:.3f}, the other cases {rest:.3f}. A rule to start
with: a person should check answers below {low:.2f}. On other hospitals and scanners the Dice may be lower than the confidence."""

UNSEEN = {
    "polyp-compact": ": the Kvasir-SEG validation frames{left_out}, and the frames of PolypGen without a polyp, which the trunk\nwas "
                     "trained on, with a presence by heads that do not know their centre",
    "left-atrium-compact": ": the held-out volumes",
}


def confidence(task, scores, rows, training, fit):
    """The card's section on confidence."""
    if not fit:
        return "Not fitted: agreement x foreground of `training/recipes/confidence.py`."
    terms = ", ".join(f"{name} {weight:.2f}" for name, weight in fit["found"]["weights"].items())
    terms = f"bias {fit['found']['bias']:.2f}, {terms}"
    if "empty" in fit:
        terms += f"; of empty answers bias {fit['empty']['bias']:.2f}, absence {fit['empty']['weight']:.2f}"
    def known(value):
        return "" if value is None else f"{value:.2f}"
    table = [f"| {name} | {found['cases']} | {known(found['spearman'])} | {known(found['auroc'])} "
             f"| {found['mean_confidence']:.3f} | {found['mean_dice']:.3f} |"
             for name, found in scores["confidence"].items() if isinstance(found, dict)]
    left_out = training.get("leave_out")
    left_out = f", centre {left_out} of PolypGen, which the last stage of training left out" if left_out is not None else ""
    low = sorted(entry["confidence"] for entry in rows)[len(rows) // 5]
    parts = [[entry["augmented"] for entry in rows if (entry["confidence"] <= low) == below] for below in (True, False)]
    doubtful, rest = (sum(part) / max(1, len(part)) for part in parts)
    return CONFIDENCE.format(
        terms=terms, which=UNSEEN[task.name].format(left_out=left_out), rows="\n".join(table), low=low, doubtful=doubtful,
        rest=rest, corrupted=known(scores["confidence"]["clean or corrupted"]),
        most=known(scores["confidence"]["clean or most corrupted"])).strip()


TRACKED = """
`confidence` of a volume is the Dice that the answer is expected to reach. A box that does not show the atrium asks for nothing
that is there, so every outline for it counts as a Dice of 0. `confidence` of an outlined slice or frame is the Dice expected
there. These are logistic fits that never decrease when a measure increases (`training/recipes/tracked_confidence.py`). The
confidence of an empty answer is 1 - its largest object presence, which was not fitted.

{terms}

`training/fitting/fit_tracked_confidence.py` fitted volumes and slices to the six validation volumes: the weights never saw
them, but the training was watched on them. They were tracked with jittered boxes, boxes of half and twice the size, boxes
beside the atrium and beyond its ends, and in blurred, noisy, darker, cropped, inverted and purely noisy copies. Frames were
fitted to Kvasir-SEG validation frames, which no network was trained on, under a drawn camera movement: real videos may
differ. The first rows below are cross-fitted, a volume with its copies always in one fold; the held-out volumes took no part
in the fit. "Below {limit}" is the share under the review limit of `kontur.example.yaml`.

| cases | number | Spearman with Dice | AUROC for Dice < 0.7 | mean confidence | mean Dice | mean difference | below {limit} |
|---|---|---|---|---|---|---|---|
{rows}

Measures that are not in a formula did not add anything. The agreement of forward and backward tracking is not a measure: both
directions see only the prompted slices (`docs/decisions/0024-a-prompt-is-tracked-by-named-recipes.md`). Another hospital may
reach a lower Dice than the confidence says."""


def tracked_confidence(sure):
    """The section on confidence of a tracker's card. `sure` is what fit_tracked_confidence.py wrote, or None."""
    if not sure:
        return "Not fitted: the geometric mean of a slice's measures, and the mean over the outlined slices of a volume."

    def number(value):
        return "" if value is None else f"{value:.2f}"

    def line(name, found):
        return (f"| {name} | {found['cases']} | {number(found['spearman'])} | {number(found['auroc'])} "
                f"| {found['mean_confidence']:.3f} | {found['mean_dice']:.3f} | {found['error']:.3f} "
                f"| {found['below_review']:.0%} |")

    def term(name, fit):
        weights = "".join(f", {measure} {weight:.2f}" for measure, weight in fit["found"]["weights"].items())
        empty = fit.get("empty")
        ends = f"; of empty answers bias {empty['bias']:.2f}, absence {empty['weight']:.2f}" if empty else ""
        return f"- {name}: bias {fit['found']['bias']:.2f}{weights}{ends}"
    names, report = {"confidence": "volume", "slice_confidence": "slice", "frame_confidence": "frame"}, sure["report"]
    lines = [*report["volumes"].items(), *((f"held out: {name}", found) for name, found in report["held_out"].items()),
             ("slices", report["slices"]), ("frames", report["frames"])]
    return TRACKED.format(terms="\n".join(term(names[key], fit) for key, fit in sure["fits"].items()),
                          rows="\n".join(line(*pair) for pair in lines), limit=0.8).strip()


def row(name, score):
    """One line of the table of scores."""
    return (f"| {name} | {score['mean']:.4f} | {score['low']:.4f} ... {score['high']:.4f} | {score['median']:.4f} "
            f"| {score['min']:.4f} |")


def write(path, task, weights, digest, scores, rows, training, fit):
    """Writes the card. `weights` is the shipped file; scores and rows are those of `export.score`."""
    names = ", ".join(f"`{entry['case']}`" for entry in rows) if task.name.startswith("left") else ""
    stages = training.get("stages") or [training]
    reached = [entry["augmented"] for entry in rows]
    marked = ", ".join(f"{found['marked']:.0%} of {name}'s ({found['empty']})"
                       for name, found in (scores.get("presence") or {}).items())
    facts = {"size": getattr(task.recipe, "SIZE", ""), "marked": marked, "count": len(rows), "zero": sum(x == 0 for x in reached),
             "half": sum(x < 0.5 for x in reached)}
    left_out = ""
    if training.get("leave_out") is not None:
        without = sum(stage.get("leave_out") == training["leave_out"] for stage in stages)
        left_out = f"Of {len(stages)} stages the last {without} left out centre {training['leave_out']} of PolypGen. "
    text = f"""# {task.name}

Segments {SEGMENTS[task.name]}. **Research use only: not a medical device, not for diagnosis or treatment.**

File `{weights.name}`, SHA-256 `{digest}`, fp16, {weights.stat().st_size / 1e6:.1f} MB. A residual U-Net
(`training/networks/residual_unet.py`) trained from random weights by `training/fitting/train.py {task.name}`: {sum(stage['samples'] for stage in stages)} augmented
samples, {sum(stage['core_seconds'] for stage in stages) / 3600:.1f} h on a shared processor core. The recipe before and after the network
is the opening comment of `training/recipes/{task.recipe.__name__.rsplit(".", 1)[-1]}.py`.

## Data

{DATA[task.name].format(scenes=task.data.SCENES, held_out=names, left_out=left_out)}

## Scores

Dice per case on the {len(rows)} held-out cases with the shipped fp16 weights; the interval is the 95% bootstrap of the mean. The held-out
cases were looked at while training (to watch the curve), not to choose a checkpoint: the last average is shipped.

| prediction | mean | 95% | median | worst |
|---|---|---|---|---|
{row("one view", scores["plain"])}
{row("mean of " + task.recipe.VIEWS, scores["augmented"])}

## Confidence

{confidence(task, scores, rows, training, fit)}

## Reproducibility

{REPRODUCIBILITY.format(stages=", ".join(str(stage["samples"]) for stage in stages))}

## Known failures

{FAILURES[task.name].format(**facts)}
"""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
