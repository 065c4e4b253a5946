-- GG-SM in small: tags around the sources, the contrast of the paper, a mask that opens as gradients say, in pieces as
-- at paper scale, and the variant whose guidance differs from token to token (experiments/ggsm).
return experiment {
  name = "ggsm",
  dataset = dataset.user_synth { users = 24, probe_users = 0, valid_users = 0, test_users = 0, features = 6, slots = "tiny",
                                 pairs = { "future", "uqa" }, future_choice = "random" },
  model = model.user_decoder { width = 16, layers = 2, heads = 2, kv_heads = 1, mlp = 24, embedding = 8, encoder = "bag",
                               encoder_width = 8, words = 128, event_words = 4, layout = "tagged", readout = "user_token" },
  mask  = any { mask.ggsm { warmup = 0.5 }, mask.ggsm_plus { warmup = 0.5 } },
  loss  = loss.contrastive { variant = "gg_paper", temperature = 0.07, margin = 0.1 },
  train = { steps = 2, batch = 6, pieces = 2, lr = 1e-3, schedule = "cosine", warmup = 0.1, clip = 1 },
  evaluate = none, seed = 1,
}
