// What the test makes Thunderbird do, in its own words: the functions that its windows call, not
// commands of IMAP. Runs with the rights of its chrome; `arguments` are a step's name and arguments.

const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { MailUtils } = ChromeUtils.importESModule("resource:///modules/MailUtils.sys.mjs");
const [step, given, done] = arguments;

const rootFolder = () =>
  MailServices.accounts.allServers.find(server => server.type == "imap").rootFolder;
const pathOf = folder =>
  folder.isServer ? "" : [pathOf(folder.parent), folder.name].filter(Boolean).join("/");
const folderOf = path => rootFolder().descendants.find(folder => pathOf(folder) == path);
const messages = path => [...folderOf(path).messages];
const named = (path, subjects) =>
  messages(path).filter(message => subjects.includes(message.mime2DecodedSubject));
const update = path =>
  folderOf(path).QueryInterface(Ci.nsIMsgImapMailFolder).updateFolder(null);

async function until(holds, what) {
  for (let waited = 0; waited < 60_000; waited += 50) {
    const value = await holds();
    if (value) {
      return value;
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`in vain: ${what}`);
}

function listener(kind, methods, resolve, reject) {
  return {
    QueryInterface: ChromeUtils.generateQI([kind]),
    ...methods(code => (code ? reject(new Error(`${kind}: ${code.toString(16)}`)) : resolve())),
  };
}

const copied = start =>
  new Promise((resolve, reject) =>
    start(
      listener(
        "nsIMsgCopyServiceListener",
        ended => ({
          onStartCopy() {},
          onProgress() {},
          setMessageKey() {},
          getMessageId: () => null,
          onStopCopy: ended,
        }),
        resolve,
        reject
      )
    )
  );
const ran = start =>
  new Promise((resolve, reject) =>
    start(
      listener(
        "nsIUrlListener",
        ended => ({ OnStartRunningUrl() {}, OnStopRunningUrl: (_url, code) => ended(code) }),
        resolve,
        reject
      )
    )
  );

const steps = {
  // An account as the dialogue for new accounts makes it, with our authority trusted.
  async setUp(authority, address, login, password, ports, startTls) {
    Cc["@mozilla.org/security/x509certdb;1"]
      .getService(Ci.nsIX509CertDB)
      .addCertFromBase64(authority, "CT,,");
    const security = startTls ? Ci.nsMsgSocketType.alwaysSTARTTLS : Ci.nsMsgSocketType.SSL;
    const incoming = MailServices.accounts.createIncomingServer(login, "localhost", "imap");
    const outgoing = MailServices.outgoingServer.createServer("smtp");
    outgoing.QueryInterface(Ci.nsISmtpServer).hostname = "localhost";
    outgoing.username = login;
    incoming.port = startTls ? ports.imap : ports.imaps;
    outgoing.port = startTls ? ports.submission : ports.submissions;
    for (const server of [incoming, outgoing]) {
      server.socketType = security;
      server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
      server.password = password;
    }
    const identity = MailServices.accounts.createIdentity();
    identity.email = address;
    identity.smtpServerKey = outgoing.key;
    const account = MailServices.accounts.createAccount();
    account.incomingServer = incoming;
    account.addIdentity(identity);
    MailServices.accounts.defaultAccount = account;
  },

  // The password again: it was not saved when Thunderbird was left.
  async logIn(password) {
    for (const server of MailServices.accounts.allServers) {
      if (server.type == "imap") {
        server.password = password;
      }
    }
  },

  // Names and, of our initial folders, which purpose Thunderbird saw in them.
  async folders() {
    const uses = { Inbox: 0, SentMail: 0, Drafts: 0, Trash: 0, Archive: 0, Junk: 0 };
    rootFolder().server.performExpand(null);
    await until(() => rootFolder().getFolderWithFlags(Ci.nsMsgFolderFlags.Junk), "folders");
    return rootFolder().descendants.map(folder => [
      pathOf(folder),
      Object.keys(uses).filter(use => folder.flags & Ci.nsMsgFolderFlags[use]).join(),
    ]);
  },

  async count(path, expected) {
    update(path);
    await until(() => messages(path).length == expected, `${expected} messages in ${path}`);
  },

  // Without asking: what IDLE tells has to be enough.
  async arrival(path, subject) {
    await until(() => named(path, [subject]).length, `arrival of ${subject}`);
  },

  async idle(path) {
    update(path);
    await new Promise(resolve => setTimeout(resolve, 2_000));
  },

  async flags(path) {
    return messages(path).map(message => [
      message.mime2DecodedSubject,
      message.isRead,
      message.isFlagged,
      message.getStringProperty("keywords"),
    ]);
  },

  // All bodies. It also fetches some by itself, and the folder is then busy for a while.
  async download(path) {
    const folderIsBusy = 0x8055000a;
    const isHere = message => message.flags & Ci.nsMsgMessageFlags.Offline;
    await until(async () => {
      try {
        await ran(url => folderOf(path).downloadAllForOffline(url, null));
      } catch (error) {
        if (error.result != folderIsBusy) {
          throw error;
        }
      }
      return messages(path).every(isHere);
    }, `all bodies of ${path}`);
    return messages(path).length;
  },

  async send(to, subject, body, attachment) {
    const account = MailServices.accounts.defaultAccount;
    const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(
      Ci.nsIMsgCompFields
    );
    Object.assign(fields, { to, subject, body, from: account.defaultIdentity.email });
    Object.assign(fields, { forcePlainText: true, useMultipartAlternative: false });
    if (attachment) {
      const part = Cc["@mozilla.org/messengercompose/attachment;1"].createInstance(
        Ci.nsIMsgAttachment
      );
      part.name = PathUtils.filename(attachment);
      part.url = PathUtils.toFileURI(attachment);
      fields.addAttachment(part);
    }
    const parameters = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(
      Ci.nsIMsgComposeParams
    );
    parameters.composeFields = fields;
    parameters.identity = account.defaultIdentity;
    parameters.format = Ci.nsIMsgCompFormat.PlainText;
    const composition = MailServices.compose.initCompose(parameters);
    await new Promise((resolve, reject) => {
      composition.addMsgSendListener(
        listener(
          "nsIMsgSendListener",
          ended => ({
            onStartSending() {},
            onSendProgress() {},
            onStatus() {},
            onStopSending: (_id, code) => ended(code),
            onGetDraftFolderURI() {},
            onSendNotPerformed: (_id, code) => ended(code || 1),
            onTransportSecurityError: (_id, code) => ended(code || 1),
          }),
          resolve,
          reject
        )
      );
      composition.sendMsg(
        Ci.nsIMsgCompDeliverMode.Now,
        account.defaultIdentity,
        account.key,
        null,
        null
      );
    });
  },

  // In its window; the text that it shows.
  async read(path, subject) {
    const [message] = named(path, [subject]);
    MailUtils.displayMessageInFolderTab(message);
    const shown = () => {
      const page = window.gTabmail?.currentAboutMessage;
      const text = page?.getMessagePaneBrowser?.()?.contentDocument?.body?.textContent;
      return page?.gMessage?.messageKey == message.messageKey && text?.trim();
    };
    const text = await until(shown, `${subject} in the window`);
    await until(() => message.isRead, `${subject} marked as read`);
    return text;
  },

  // On the server, as "Run search on server" does.
  async search(path, attribute, text) {
    const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(
      Ci.nsIMsgSearchSession
    );
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folderOf(path));
    const term = session.createTerm();
    term.attrib = Ci.nsMsgSearchAttrib[attribute];
    term.op = Ci.nsMsgSearchOp.Contains;
    const value = term.value;
    value.attrib = term.attrib;
    value.str = text;
    term.value = value;
    session.appendTerm(term);
    const found = [];
    await new Promise(resolve => {
      session.registerListener({
        QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
        onNewSearch() {},
        onSearchHit: message => found.push(message.mime2DecodedSubject),
        onSearchDone: resolve,
      });
      session.search(null);
    });
    return found.sort();
  },

  async mark(path, subjects, how) {
    const folder = folderOf(path);
    const states = Ci.nsIMsgFolder;
    const these = named(path, subjects);
    for (const what of how) {
      if (what == "read") {
        folder.markMessagesRead(these, true);
      } else if (what == "unread") {
        folder.markMessagesRead(these, false);
      } else if (what == "star") {
        folder.markMessagesFlagged(these, true);
      } else if (what == "answered" || what == "forwarded") {
        const state =
          what == "answered"
            ? states.nsMsgDispositionState_Replied
            : states.nsMsgDispositionState_Forwarded;
        these.forEach(message => folder.addMessageDispositionState(message, state));
      } else {
        folder.addKeywordsToMessages(these, what);
      }
    }
  },

  async transfer(from, subjects, to, isMove) {
    await copied(ended =>
      MailServices.copy.copyMessages(
        folderOf(from),
        named(from, subjects),
        folderOf(to),
        isMove,
        ended,
        null,
        false
      )
    );
  },

  // To the bin, or at once.
  async remove(path, subjects, forGood) {
    await copied(ended =>
      folderOf(path).deleteMessages(named(path, subjects), null, forGood, false, ended, false)
    );
  },

  async compact(path) {
    await ran(url => folderOf(path).compact(url, null));
  },

  async emptyBin() {
    await ran(url =>
      rootFolder().getFolderWithFlags(Ci.nsMsgFolderFlags.Trash).emptyTrash(url)
    );
  },

  async createFolder(parent, name) {
    (parent ? folderOf(parent) : rootFolder()).createSubfolder(name, null);
    await until(() => folderOf([parent, name].filter(Boolean).join("/")), `folder ${name}`);
  },

  async renameFolder(path, name) {
    const folder = folderOf(path);
    const parent = pathOf(folder.parent);
    folder.rename(name, null);
    await until(() => folderOf([parent, name].filter(Boolean).join("/")), `folder ${name}`);
  },

  // Asks first.
  async deleteFolder(path) {
    folderOf(path).deleteSelf(null);
  },

  async isGone(path) {
    await until(() => !folderOf(path), `end of ${path}`);
  },
};

steps[step](...given).then(
  value => done({ value: value ?? null }),
  error => done({ error: `${error}\n${error.stack}` })
);
