-- One shared pretraining feeds two seeds of what follows.
local data, toy = dataset.toy { size = 64 }, model.toy_encoder {}
local before = run {
  name    = "pretraining",
  dataset = data,
  model   = toy,
  loss    = loss.toy_next {},
  train   = { steps = 8, batch = 8 },
  seed    = 0,
}
return experiment {
  name     = "stages",
  dataset  = data,
  model    = toy,
  init     = before,
  loss     = loss.toy_contrast {},
  train    = { steps = 4, batch = 8 },
  evaluate = { evaluator.toy_probe {} },
  seed     = seeds(2),
}
