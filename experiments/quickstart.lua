-- quickstart.lua - which attention mask reads a client best?
--
-- 30,000 credit card clients with six months of repayment status, bills and payments. A small decoder is
-- trained on one question about each pretrain client, under four masks and six seeds; a linear probe on
-- its frozen embeddings then says who defaults next month. Beside the masks stands the same model
-- untrained. `scripts/credit` makes the data, experiments/baselines.lua probes the raw data.
local clients = dataset.users {
  path    = "../data/credit",
  sources = { "status", "bill", "payment" },
  pairs   = { "labels" },
}

-- Mask and number of steps move together: four masks trained, the first also at 0 steps.
local cell = zip {
  mask  = { mask.causal {}, mask.hybrid {}, mask.bidirectional {}, mask.ggsm { warmup = 0.1 }, mask.causal {} },
  steps = { 400, 400, 400, 400, 0 },
}

return experiment {
  name     = "quickstart",
  dataset  = clients,
  model    = model.user_decoder { size = "tiny", readout = "user_token" },
  mask     = cell.mask,
  loss     = { loss.contrastive { temperature = 0.07, margin = 0.1 }, loss.next_token { weight = 1.0 } },
  train    = { steps = cell.steps, batch = 64, optimizer = "adamw", lr = 1e-3, schedule = "cosine" },
  evaluate = { evaluator.linear_probe { suite = "credit", metrics = { "auc", "ks" } } },
  seed     = seeds(6),
}
