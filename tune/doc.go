// Package tune searches for good hyperparameters: spaces, samplers, pruners,
// studies and their analysis, with the semantics of Optuna 5.0 and in stores that
// Optuna itself opens (packages rdb and journal below this one).
//
// A Study hands out trials. Its Sampler suggests values inside a trial, its Pruner
// ends hopeless ones early, its Storage keeps everything so that several processes
// can work on it and a later one can go on. Ask and Tell are the whole interface;
// Optimize is a loop over them:
//
//	study, err := tune.Create(ctx, tune.NewMemory(), "first", tune.Options{Sampler: tune.NewTPE(1)})
//	err = study.Optimize(ctx, tune.Plan{Trials: 50}, func(ctx context.Context, t *tune.Live) ([]float64, error) {
//		x, err := t.Float("x", -10, 10, false)
//		return []float64{x * x}, err
//	})
//	best, err := study.Best(ctx)
//
// Samplers: Random, Grid, BruteForce, QMC, TPE, CMAES, NSGA2, GP. Pruners:
// Percentile (and NewMedian), SuccessiveHalving, Hyperband, Wilcoxon, Patient,
// Threshold. TPE is that of Bergstra et al. 2011 with Optuna 5.0's changes.
package tune
