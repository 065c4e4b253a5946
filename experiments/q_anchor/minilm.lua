-- minilm.lua - a real pre-trained event encoder: all-MiniLM-L6-v2, with its WordPiece tokenizer, reads the events.
--
-- `scripts/weights minilm` fetches it into data/weights. One seed and twenty steps: a smoke run, no result.
local setting = require "setting"
local folder = "../../data/weights/minilm"

return experiment {
  name = "q_anchor_minilm", dataset = setting.users { users = 500, probe_users = 200, valid_users = 100, test_users = 200 },
  model = setting.model {
    encoder = "bert", encoder_weights = folder, encoder_tokenizer = folder .. "/tokenizer.json", encoder_shared = true,
  },
  adapter = adapter.lora { rank = 16, alpha = 16, targets = { "query", "key", "value", "output.dense" } },
  mask = mask.causal {}, loss = setting.losses(), train = setting.train { steps = 20, batch = 8 },
  evaluate = { setting.probe() }, seed = 1,
}
