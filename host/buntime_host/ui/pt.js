// @ts-check
/** The texts of what all pages share, in Portuguese. */
export const PT = {
  "A key is needed": "É preciso uma chave",
  Cancel: "Cancelar",
  Copied: "Copiado",
  Dismiss: "Dispensar",
  Home: "Início",
  Key: "Chave",
  Menu: "Menu",
  "not ready": "não está pronto",
  "Nothing here": "Nada aqui",
  OK: "OK",
  Pages: "Páginas",
  Path: "Caminho",
  Plugin: "Plugin",
  Plugins: "Plugins",
  ready: "pronto",
  "Sign in": "Entrar",
  "Sign out": "Sair",
  "Skip to the content": "Ir para o conteúdo",
  State: "Estado",
  "The browser does not let this page copy: it needs HTTPS":
    "O navegador não deixa esta página copiar: é preciso HTTPS",
  "The page keeps none: it has a session for 12 hours":
    "A página não guarda a chave: tem uma sessão de 12 horas",
  "There is no such key, or it is not good any more": "Esta chave não existe ou já não é válida",
  "There is no such page": "Esta página não existe",
};
