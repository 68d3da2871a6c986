// @ts-check
/** The texts of the pages of the store, in Portuguese. */
export const PT = {
  "Dead letters": "Mensagens mortas",
  Entries: "Entradas",
  Errors: "Erros",
  "Mean time of an operation": "Tempo médio de uma operação",
  "Messages in work": "Mensagens em curso",
  "Messages waiting": "Mensagens à espera",
  "Operations per second": "Operações por segundo",
  Overview: "Visão geral",
  Size: "Tamanho",
  "{title}, the last values": "{title}, os últimos valores",
};
