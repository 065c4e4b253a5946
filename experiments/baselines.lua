-- baselines.lua - the probe of quickstart.lua on the raw data: the client's attributes as columns, the
-- events' words one-hot, and both. One run, nothing trained: metrics auc:columns, auc:onehot,
-- auc:columns+onehot stand beside the untrained model's auc.
return experiment {
  name     = "baselines",
  dataset  = dataset.users { path = "../data/credit", sources = { "status", "bill", "payment" } },
  model    = model.user_decoder { size = "tiny" },
  mask     = mask.causal {},
  train    = { steps = 0 },
  evaluate = { evaluator.linear_probe { suite = "credit", baselines = true } },
  seed     = 1,
}
