/* The method on the scores of one image: Eq. 1, Eq. 2, Algorithm 1 and Eq. 3. */

const BY = { objectness: "objectness", sentiment: "sentiment", both: "affective" };

const sum = (values) => values.reduce((total, value) => total + value, 0);

function sentimentScore(s, base) {  // Eq. 1; 0 log 0 = 0
  const entropy = -sum(s.map((p) => (p > 0 ? p * Math.log(p) : 0)));
  return 1 - entropy / (base === "classes" ? Math.log(s.length) : 1);
}

function compute(data, { k, alpha, beta, base, rankBy }) {  // Algorithm 1, steps 4 to 10
  const regions = data.probability.map((probability, i) => {
    const objectness = data.objectness[i];
    const sentiment = sentimentScore(probability, base);
    const affective = Math.hypot(objectness, Math.sqrt(alpha) * sentiment);  // Eq. 2
    return { objectness, sentiment, affective, probability };
  });
  const score = regions.map((region) => region[BY[rankBy]]);
  const order = score.map((_, i) => i).sort((a, b) => score[b] - score[a] || a - b);
  const chosen = order.slice(0, k);
  const mean = data.emotions.map((_, m) =>
    sum(chosen.map((i) => regions[i].probability[m])) / chosen.length);
  const response = data.global.map((y, m) => (chosen.length ? y + beta * mean[m] : y));  // Eq. 3
  const total = sum(response);
  return {
    regions, order, chosen, mean, response, score,
    probability: response.map((y) => y / total),
    label: response.indexOf(Math.max(...response)),
  };
}
