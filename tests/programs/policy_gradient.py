"""Policy gradient on a short corridor: sampled actions, discounted returns, a learned baseline."""

import numpy as np

CELLS, ACTIONS, LENGTH = 6, 3, 12


def _move(cells, actions):
    """Left, stay or right; the last cell pays."""
    cells = np.clip(cells + actions - 1, 0, CELLS - 1)
    return cells, (cells == CELLS - 1).astype(np.float32) - 0.05


class Agent:
    """A policy and a value function over one hidden layer."""

    def __init__(self, tf):
        self.cells = tf.placeholder(tf.int32, [None], name="cells")
        self.actions = tf.placeholder(tf.int64, [None], name="actions")
        self.returns = tf.placeholder(tf.float32, [None], name="returns")
        state = tf.one_hot(self.cells, CELLS, dtype=tf.float32)
        init = tf.glorot_uniform_initializer(seed=9)
        hidden_weights = tf.get_variable("hidden", [CELLS, 16], initializer=init)
        hidden = tf.tanh(tf.matmul(state, hidden_weights))
        self.logits = tf.matmul(hidden, tf.get_variable("policy", [16, ACTIONS], initializer=init))
        value = tf.matmul(hidden, tf.get_variable("value", [16, 1], initializer=init))[:, 0]
        self.sample = tf.squeeze(tf.multinomial(self.logits, 1, seed=10), axis=1, name="sample")

        log_odds = tf.nn.log_softmax(self.logits)
        chosen = tf.reduce_sum(log_odds * tf.one_hot(self.actions, ACTIONS), axis=1)
        advantage = tf.stop_gradient(self.returns - value)
        policy_loss = -tf.reduce_mean(chosen * advantage)
        self.entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_odds) * log_odds, axis=1))
        self.value_loss = tf.reduce_mean(tf.square(self.returns - value))
        loss = policy_loss + 0.5 * self.value_loss - 0.01 * self.entropy
        self.train = tf.train.AdamOptimizer(0.03, name="Trainer").minimize(loss)
        self.loss = loss


def _episodes(session, agent, count=16):
    """Cells, actions and discounted returns of some episodes, flat, and the mean reward."""
    position = np.zeros(count, np.int32)
    cells, actions, rewards = [], [], []
    for _ in range(LENGTH):
        cells.append(position)
        actions.append(session.run(agent.sample, {agent.cells: position}))
        position, reward = _move(position, actions[-1])
        rewards.append(reward)
    returns, running = [], np.zeros(count, np.float32)
    for reward in reversed(rewards):
        running = reward + np.float32(0.9) * running
        returns.insert(0, running)
    flat = [np.concatenate(part) for part in (cells, actions, returns)]
    return flat, np.mean(np.sum(rewards, 0))


def program(tf):
    agent = Agent(tf)
    parts = {"value_losses": [], "entropy": [], "rewards": [], "actions": []}
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.initialize_all_variables())
        for _ in range(25):
            (cells, actions, returns), reward = _episodes(session, agent)
            feeds = {agent.cells: cells, agent.actions: actions, agent.returns: returns}
            value_loss, entropy, _ = session.run(
                (agent.value_loss, agent.entropy, agent.train), feeds
            )
            parts["value_losses"].append(value_loss)
            parts["entropy"].append(entropy)
            parts["rewards"].append(reward)
            parts["actions"].append(actions)
        best = session.run(tf.argmax(agent.logits, 1), {agent.cells: range(CELLS)})
    # What is to fall is the reward that is missed.
    parts["losses"] = [LENGTH - reward for reward in parts["rewards"]]
    return {**parts, "best": best}
