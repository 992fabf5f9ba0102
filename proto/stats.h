/* What samples of two arms say about the difference between them, at any time that somebody looks.
 *
 * Looking at a running experiment and stopping when it looks good makes ordinary tests lie: at every look they err once
 * more. The intervals and p-values here are always valid: over all looks together, the true difference leaves the
 * interval with probability ≤ alpha. They are Robbins' normal mixture, applied to means by the central limit theorem:
 * the mixture sequential probability ratio test (Johari, Pekelis, Walsh 2015/2019, "Always valid inference"), whose
 * interval is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021). Being
 * asymptotic they ask for CFG_STATS_SAMPLES_MIN samples of each arm before the first look. Two things that the limit
 * hides are allowed for, since early looks and small arms meet them:
 *
 *  - A variance is itself an estimate. A statistic with few degrees of freedom counts as the normal deviate that is as
 *    unlikely as it (Wallace 1959, "Bounds on normal approximations to Student's and the chi-square distributions").
 *  - A small arm of rare events may not have met one: its variance is then 0, not known. An effect's `cautious`
 * variance is never below what samples of one common spread would have, as a test of "no difference" may take them to.
 *
 * The mixture must stay where it is while samples come: one that follows the variance down makes the evidence of a
 * long experiment with few units that give ever more samples too great. cfg_sequence_for takes what does not move.
 *
 * Variances are of estimates (squared standard errors), not of samples, where not said otherwise. Pure. */
#ifndef CFG_PROTO_STATS_H
#define CFG_PROTO_STATS_H

#include "proto/moments.h"

enum { CFG_STATS_SAMPLES_MIN = 100, CFG_STATS_ARMS_MAX = 16 };

/* A mean and how sure it is. */
struct cfg_estimate {
    double n, mean;  /* samples, > 0 */
    double spread;   /* the variance of one sample */
    double variance; /* of the mean: spread / n where samples are independent */
    double freedom;  /* degrees, of that variance; > 0 */
};
/* Of independent samples. false, *out untouched: fewer than two. */
bool cfg_estimate_of(struct cfg_estimate *out, const struct cfg_moments *m);

/* Treatment against base. */
struct cfg_effect {
    double base, treatment;             /* means */
    double difference, variance;        /* treatment − base (Welch's variance: no common one is assumed) */
    double cautious;                    /* as if both arms' samples had one spread, where that is greater */
    double freedom;                     /* of the variances: Welch and Satterthwaite's; infinite where both are 0 */
    bool has_relative;                  /* the base's mean is distinguishable from 0 */
    double relative, relative_variance; /* difference / base, by the delta method, cautious */
};
void cfg_effect_between(struct cfg_effect *out, const struct cfg_estimate *treatment, const struct cfg_estimate *base);
/* The same of independent samples. false, *out untouched: fewer than two samples of either arm. */
bool cfg_effect_of(struct cfg_effect *out, const struct cfg_moments *treatment, const struct cfg_moments *base);

/* A confidence sequence: how wide at which variance. Its width is least, relative to the best possible, where the
 * variance is the one it was planned for. */
struct cfg_sequence {
    double alpha; /* over all looks, two-sided; in (0, 1) */
    double mix;   /* the mixture's variance; > 0 */
};
/* planned: the variance that the estimate will have at the planned end; > 0 and finite. alpha in (0, 1). */
struct cfg_sequence cfg_sequence_for(double alpha, double planned);
/* Half the interval's width around an estimate of this variance, which was itself estimated with so many degrees of
 * freedom (infinite: it is known); infinite where variance is not > 0 and finite. */
double cfg_sequence_half_width(const struct cfg_sequence *s, double variance, double freedom);
/* The always valid p-value of "no difference" at this look, in (0, 1]: below s->alpha exactly when the interval
 * excludes 0. */
double cfg_sequence_p(const struct cfg_sequence *s, double difference, double variance, double freedom);

/* Sample-ratio mismatch: units per arm against the shares that they were assigned by, at any look. 1 ≥ p > 0; a small p
 * (CFG_STATS_MISMATCH) says that assignment or counting is broken and nothing else of the experiment may be believed.
 * An e-value after Lindon and Malek (2022, "Anytime-valid inference for multinomial count data"): Dirichlet mixtures
 * centred at the shares, averaged over concentrations 10 (few rank groups), 100, 1,000 and 10,000. shares: positive,
 * any scale; n arms, 2 … CFG_STATS_ARMS_MAX; counts up to 1e12, beyond which doubles lose what is to be told. */
#define CFG_STATS_MISMATCH 0.001
double cfg_mismatch_p(const uint64_t *counts, const double *shares, size_t n);

/* The probability that the sequence excludes 0 by the time an estimate of a true `difference` has the variance `end`,
 * itself estimated with so many degrees of freedom, when looked at `looks` (1 … 1000) times, evenly spaced in samples,
 * the first at end's samples / looks. Computed by recursive integration over the looks (Armitage, McPherson, Rowe
 * 1969), to about 0.003. */
double cfg_sequence_power(const struct cfg_sequence *s, double difference, double end, unsigned looks, double freedom);

struct cfg_experiment_plan {
    double alpha, power;                      /* 0.05, 0.8 */
    double difference;                        /* the smallest that must be found, not 0 */
    double base_variance, treatment_variance; /* of one sample */
    double base_share, treatment_share;       /* of all samples; in (0, 1], their sum ≤ 1 */
    unsigned looks;                           /* until the end */
    double freedom; /* degrees, with which each side's variance will be estimated; 0: as if it were known */
};
/* Samples (of all, the other arms' included) until `difference` is found with probability `power`, with the sequence
 * planned for that end, which *out becomes when not NULL. 0: a member is out of its range, or more than 1e15 would be
 * needed. */
double cfg_experiment_samples(struct cfg_sequence *out, const struct cfg_experiment_plan *p);

#endif
