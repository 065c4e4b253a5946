-- Both examples in one run.
return experiment {
  name = "outside",
  dataset = dataset.parity { coins = 4, samples = 64 },
  model = model.user_decoder { size = "tiny" },
  mask = any { mask.window { ahead = 0 }, mask.window { ahead = 2 } },
  loss = loss.contrastive {},
  train = { steps = 3, batch = 8 },
  evaluate = {},
  seed = 1,
}
