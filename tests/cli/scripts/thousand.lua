-- 1,000 runs: 10 learning rates x 100 seeds.
local rates = {}
for i = 1, 10 do
  rates[i] = 1e-4 * i
end
return experiment {
  name    = "thousand",
  dataset = dataset.toy { size = 64 },
  model   = model.toy_encoder {},
  mask    = mask.toy_ramp {},
  loss    = loss.toy_contrast {},
  train   = { steps = 12, batch = 8, lr = any(rates) },
  evaluate = { evaluator.toy_probe {} },
  seed    = seeds(100),
}
