-- Runs for jobs and interruptions, short or (STEPS) long.
return experiment {
  name  = "two",
  dataset = dataset.user_synth { users = 32, probe_users = 0, valid_users = 0, test_users = 0, features = 4, slots = "tiny",
                                 sources = { "bill", "app" }, pairs = { "uqa" } },
  model = model.user_decoder { width = 16, layers = 1, heads = 2, kv_heads = 1, mlp = 24, embedding = 8, words = 64,
                               event_words = 4 },
  mask  = mask.ggsm { warmup = 0.5 }, loss = { loss.contrastive {}, loss.next_token {} },
  train = { steps = tonumber(env("STEPS", "2")), batch = 6, checkpoint_every = 2, lr = 1e-3 }, evaluate = none,
  seed  = seeds(2),
}
