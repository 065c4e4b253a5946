-- A small decoder on a few users, for their vectors.
return experiment {
  name     = "embedded",
  dataset  = dataset.users { path = env("USERS", "users") },
  model    = model.user_decoder { width = 16, layers = 2, heads = 2, kv_heads = 1, mlp = 24, embedding = 6 },
  mask     = any { mask.hybrid {}, mask.future { weight = function(step, total) return 0.5 end } },
  adapter  = adapter.lora { rank = 2 },
  train    = { steps = 2, batch = 8 },
  evaluate = none,
  seed     = 1,
}
