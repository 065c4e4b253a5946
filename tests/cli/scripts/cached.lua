-- What the prefix cache saves, and where attention went, on a few users.
local few = dataset.users { path = env("USERS", "users") }
local small = model.user_decoder { width = 16, layers = 2, heads = 2, kv_heads = 1, mlp = 24, embedding = 6,
                                   readout = env("READOUT", "user_token") }
local base = run { name = "base", dataset = few, model = small, mask = mask.causal {}, evaluate = none,
                   train = { steps = 1, batch = 8 } }
return experiment {
  name     = "cached",
  dataset  = few,
  model    = small,
  mask     = mask.causal {},
  init     = base,
  train    = { steps = 4, batch = 8, lr = 1e-2 },
  evaluate = { evaluator.query_cache { users = 3, repeats = 1 },
               evaluator.attention_shift { base = base, suite = "shop" } },
  seed     = 1,
}
