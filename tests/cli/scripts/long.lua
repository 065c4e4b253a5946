-- One run that lasts until somebody stops it.
return experiment {
  name    = "long",
  dataset = dataset.toy { size = 64 },
  model   = model.toy_encoder {},
  mask    = mask.toy_ramp {},
  loss    = loss.toy_contrast {},
  train   = { steps = 1000000, batch = 8, checkpoint_every = 0 },
  evaluate = { evaluator.toy_probe {} },
  seed    = 0,
}
