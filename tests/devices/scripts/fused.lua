-- A run in bf16 whose heads are 8 wide: attention without costs is fused. Two layers, so that the masks differ; a margin
-- out of reach, for which pairs it leaves out would hang on roundings.
return experiment {
  name  = "fused",
  dataset = dataset.user_synth { users = 24, probe_users = 0, valid_users = 0, test_users = 0, features = 4, slots = "tiny",
                                 sources = { "bill", "app" }, pairs = { "uqa" } },
  model = model.user_decoder { width = 32, layers = 2, heads = 4, kv_heads = 2, mlp = 48, embedding = 16, words = 128,
                               event_words = 6 },
  mask  = any { mask.causal {}, mask.bidirectional {} }, loss = { loss.contrastive { margin = 2 }, loss.next_token {} },
  train = { steps = 3, batch = 6, lr = 1e-3, precision = "bf16" }, evaluate = none, seed = 1,
}
