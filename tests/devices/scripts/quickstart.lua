-- experiments/quickstart.lua over a few generated users: the same four masks and the untrained model, the same losses,
-- a probe.
local cell = zip {
  mask  = { mask.causal {}, mask.hybrid {}, mask.bidirectional {}, mask.ggsm { warmup = 0.1 }, mask.causal {} },
  steps = { 3, 3, 3, 3, 0 },
}

return experiment {
  name     = "quickstart",
  dataset  = dataset.user_synth {
    users = 48, probe_users = 60, valid_users = 8, test_users = 40, sources = { "bill", "app", "minipro" },
    pairs = { "uqa" }, slots = "tiny",
  },
  model    = model.user_decoder { width = 32, layers = 2, heads = 2, kv_heads = 1, mlp = 48, embedding = 16,
                                  words = 256, event_words = 6, readout = "user_token" },
  mask     = cell.mask,
  loss     = { loss.contrastive { temperature = 0.07, margin = 0.1 }, loss.next_token { weight = 1.0 } },
  train    = { steps = cell.steps, batch = 8, optimizer = "adamw", lr = 1e-3, schedule = "cosine" },
  evaluate = { evaluator.linear_probe { suite = "alipay10", benchmarks = { "takeout", "login" }, metrics = { "auc", "ks" } } },
  seed     = 1,
}
