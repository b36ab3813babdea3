"""What every page of the comparison takes for granted: the data, the methods, how settings were chosen."""

COMMAND = "python tools/reproduce.py --data PATH"

SETUP = f"""# Data and methods

All methods use the same windows, splits and labels. All scores are taken after the last epoch. They are means over
seeds ± their standard deviation (number of seeds), and the best of each column is bold. This command writes all pages
of the comparison, their figures, and `learning.json` with every single result, its versions and its commit:

```sh
{COMMAND} --report docs/benchmarks
```

The command skips what already has a result, unless an earlier version of the method made it. All of it takes more than
two days on one core. Each page names the command for its part. It runs three seeds unless `--seeds` says otherwise.
`PATH` is a folder that holds:

- `utd-mhad`: `Inertial`, `Skeleton` and `Depth` as published, and `label_splits.json`. This file names the trials that
  the paper's code takes as labelled, in the form that `published_split` in `training/datasets/utd.py` reads.
- `usc-had`: `Subject1` to `Subject14`.
- `radhar`: text records in one folder per activity, or an archive. The published split needs its Train and Test.
- `cuhk-x`: `HAR/data` as published. [CUHK-X](../cuhk-x.md) says how to get it.

The methods:

- *Cosmo* is the published method with small encoders of our own. SingleModal and CMC use the same encoders.
- *The authors' network* has the authors' encoders, attention and classifier, as large as published.
- The other systems follow their publications; their files in `training/baselines/` name the differences. As published,
  CPC's and LIMU-BERT's encoders learn without augmentation and are frozen while a classifier learns.
- TupleInfoNCE and the Multimodal Clustering Network differ from CMC in stage 1 only. From milliEgo, only the fusion
  is taken.
- LIMU-BERT, LIMU-BERT-X and SelfHAR read one IMU; SingleModal is the row to compare them with. LIMU-BERT-X starts from
  published weights: `python tools/limu_bert_x.py limu_bert_x.pt` converts them. Without them its rows are skipped.
- All other methods except the classical ones share one augmentation.
- Each part of Cosmo (encoders, classifier) sees about as many labelled minibatches as the whole network of another
  method. Cosmo drops sensors at random. Its weight decay is 0.01; that of the others is 0.001.
- *Label spreading* is an addition to the published method. Before stage 2, labels spread to windows that stage 1 puts
  nearby, most of them from other people. A minibatch then has 64 windows instead of 16.
- *Warping*, a further addition: windows are near by the mean of two distances, that of stage 1 and that of the signals
  themselves under dynamic time warping.
- *Balanced*, a further addition: labels spread so that each activity gets its share of all windows, as large as among
  the labelled ones. In UTD-MHAD everybody did each action four times, so this is right there. No other row makes use of
  it. Do not use it where activities are not as frequent as their labels.
- *Balanced by person*: each activity gets its share of each person's windows. Embeddings of each sensor count as a
  distance of their own, as much as that of warping. Do not use it where people did some activities more often than
  others.
- *Mined neighbours* is another addition: stage 1 treats such windows as the same activity.
- Sensors are concatenated. On USC-HAD, where the sensors are alike and the paper sums them, the sum has its own row.

Settings were chosen on held-out training subjects, on which [another page](../held-out.md) compares Cosmo and CMC.
Four rows had an advantage. *Balanced* knows that all activities are equally frequent, and *balanced by person* that
everybody did each of them as often. Both were added after other forms had been seen on the test people, and chosen by
the [training people's labels](../held-out.md#how-many-spread-labels-are-right). Details of DTW's distance and of CPC's
pooling were set after looking at test figures.
"""
