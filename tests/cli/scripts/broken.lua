-- The first of two runs fails in its third step.
return experiment {
  name    = "broken",
  dataset = dataset.toy { size = 64 },
  model   = model.toy_encoder {},
  mask    = mask.toy_ramp {},
  loss    = any { loss.toy_broken { step = 2 }, loss.toy_contrast {} },
  train   = { steps = 6, batch = 8 },
  evaluate = { evaluator.toy_probe {} },
  seed    = 0,
}
