-- Users with every event slot of the papers filled, for scripts/bench --embed: the history has 710 event
-- tokens. Nothing is trained.
local full = dataset.user_synth { slots = "paper", activity = 60, users = 40, probe_users = 20, valid_users = 20,
                                  test_users = 64 }
return experiment {
  name     = "embed",
  dataset  = full,
  model    = model.user_decoder { size = any { "tiny", "small" }, feature_tokens = 50, tokens = 1024 },
  mask     = mask.causal {},
  train    = { steps = 0, batch = 8 },
  evaluate = evaluator.query_cache { counts = { 1, 20 }, users = 4, repeats = 2 },
  seed     = 1,
}
